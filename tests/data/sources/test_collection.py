"""A published data set as a whole: where it is looked for, in which order, and what happens the second time."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dlcourse.data.sources.archive import Archive
from dlcourse.data.sources.folder import Folder
from dlcourse.errors import DataError, DlcourseError, DownloadError
from tests.data.images import gzipped, served, small_cifar10, small_mnist, tar
from tests.data.sources.server import serving

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(scope="module")
def cifar():
    return small_cifar10()


@pytest.fixture(scope="module")
def mnist():
    return small_mnist()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with serving() as server:
        yield server


@pytest.fixture
def readings(monkeypatch):
    """How often sources were read, whether for their content or to verify them."""
    found = []
    for kind in (Archive, Folder):
        real = kind.members
        monkeypatch.setattr(kind, "members", lambda self, wanted, real=real: found.append(self) or real(self, wanted))
    return found


def test_the_path_goes_before_the_data_folder_and_that_before_the_cache(cifar, own_cache, tmp_path, monkeypatch):
    named = cifar.write(tmp_path / "named")
    data = cifar.write(tmp_path / "data" / "cifar-10-batches-bin", cifar.binary).parent
    (own_cache / "cifar10").mkdir(parents=True)
    saved = tar(own_cache / "cifar10" / "cifar-10-python.tar.gz", cifar.files)
    assert cifar.collection.open().source == saved
    monkeypatch.setenv("DLCOURSE_DATA", str(data))
    assert cifar.collection.open().source == data / "cifar-10-batches-bin"
    assert cifar.collection.open(str(named)).source == named
    monkeypatch.setenv("DLCOURSE_DATA", str(tmp_path / "nowhere"))
    opened = cifar.collection.open()
    assert opened.source == opened.decoded
    cifar.check(opened.arrays)


def test_a_path_is_relative_to_the_current_folder_or_the_data_folder(cifar, tmp_path, monkeypatch):
    cifar.write(tmp_path / "data" / "mine")
    monkeypatch.chdir(tmp_path)
    assert cifar.collection.open("data/mine").source.samefile(tmp_path / "data" / "mine")
    monkeypatch.setenv("DLCOURSE_DATA", str(tmp_path / "data"))
    assert cifar.collection.open("mine").source == tmp_path / "data" / "mine"
    with pytest.raises(DataError, match="no data file .*/theirs"):
        cifar.collection.open("theirs")


def test_both_versions_packed_or_not_give_the_same_arrays_and_share_one_copy(cifar, tmp_path):
    places = [
        cifar.write(tmp_path / "python"),
        cifar.write(tmp_path / "binary", cifar.binary),
        tar(tmp_path / "p.tar.gz", cifar.files),
        tar(tmp_path / "p.tar.xz", cifar.files),
        tar(tmp_path / "b.tar.xz", cifar.binary, "cifar-10-batches-bin"),
        tar(tmp_path / "p.tar", dict(reversed(cifar.files.items()))),
    ]
    decoded = set()
    for place in places:
        opened = cifar.collection.open(str(place))
        cifar.check(opened.arrays)
        decoded.add(opened.decoded)
    assert len(decoded) == 1
    os.rename(decoded.pop(), tmp_path / "away")
    cifar.check(cifar.collection.open(str(places[1])).arrays)


def test_loose_files_may_be_gzipped(mnist, tmp_path):
    mnist.check(mnist.collection.open(str(mnist.write(tmp_path / "plain"))).arrays)
    mnist.check(mnist.collection.open(str(mnist.write(tmp_path / "packed", gzipped(mnist.files)))).arrays)


def test_the_second_time_nothing_is_read(cifar, tmp_path, readings):
    path = tar(tmp_path / "a.tar.gz", cifar.files)
    for _ in range(3):
        cifar.check(cifar.collection.open(str(path)).arrays)
        assert len(readings) == 1
    copied = tmp_path / "b.tar.gz"
    copied.write_bytes(path.read_bytes())
    for _ in range(2):
        cifar.check(cifar.collection.open(str(copied)).arrays)
        assert len(readings) == 2


def test_a_source_that_was_changed_later_is_refused_though_its_arrays_are_known(cifar, tmp_path):
    path = tar(tmp_path / "a.tar", cifar.files)
    cifar.collection.open(str(path))
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(time.time_ns(), time.time_ns() + 10**9))
    with pytest.raises(DataError, match="a.tar: data_batch_1 has md5 .*, the official file has"):
        cifar.collection.open(str(path))


def test_damaged_arrays_are_decoded_again(cifar, tmp_path):
    path = tar(tmp_path / "a.tar.gz", cifar.files)
    decoded = cifar.collection.open(str(path)).decoded
    (decoded / "train_x.npy").write_bytes(b"")
    with pytest.warns(UserWarning, match="is damaged, or of an earlier version; made anew"):
        cifar.check(cifar.collection.open(str(path)).arrays)
    whole = bytearray((decoded / "test_y.npy").read_bytes())
    whole[-20] ^= 1  # a label
    (decoded / "test_y.npy").write_bytes(whole)
    with pytest.warns(UserWarning, match="made anew"):
        cifar.check(cifar.collection.open(str(path)).arrays)


def test_what_lacks_a_file_is_named(cifar, mnist, tmp_path):
    some = {name: cifar.files[name] for name in ("data_batch_1", "data_batch_3", "test_batch")}
    with pytest.raises(DataError, match="folder has data_batch_1, .* lacks data_batch_2, data_batch_4, data_batch_5"):
        cifar.collection.open(str(cifar.write(tmp_path / "folder", some)))
    with pytest.raises(DataError, match="a.tar.gz lacks data_batch_2, data_batch_4, data_batch_5; it is damaged"):
        cifar.collection.open(str(tar(tmp_path / "a.tar.gz", some)))
    mixed = some | {name: content for name, content in cifar.binary.items() if "batch_2" in name}
    with pytest.raises(DataError, match="lacks data_batch_2"):
        cifar.collection.open(str(tar(tmp_path / "b.tar.gz", mixed)))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty is not cifar10: expected cifar-10-python.tar.gz or the files data_"):
        cifar.collection.open(str(tmp_path / "empty"))
    with pytest.raises(DataError, match="a.tar.gz is not mnist: expected the files train-images-idx3-ubyte, "):
        mnist.collection.open(str(tmp_path / "a.tar.gz"))


def test_a_refused_source_leaves_nothing_in_the_cache(cifar, own_cache, tmp_path):
    files = cifar.files | {"test_batch": b"x" * len(cifar.files["test_batch"])}
    with pytest.raises(DataError, match="test_batch has md5"):
        cifar.collection.open(str(tar(tmp_path / "a.tar.gz", files)))
    assert os.listdir(own_cache / "cifar10") == [".lock"]


def test_nothing_found_is_downloaded_once(cifar, server, own_cache, tmp_path):
    archive = tar(tmp_path / "made.tar.gz", cifar.files)
    collection = served(cifar.collection, server.url, {"cifar-10-python.tar.gz": archive.read_bytes()})
    server.files["cifar-10-python.tar.gz"] = archive.read_bytes()
    opened = collection.open()
    cifar.check(opened.arrays)
    assert opened.source == own_cache / "cifar10" / "cifar-10-python.tar.gz"
    server.files.clear()
    cifar.check(collection.open().arrays)
    assert len(server.asked) == 1


def test_a_download_of_several_files_goes_on_where_it_stopped(mnist, server, own_cache):
    files = gzipped(mnist.files)
    collection = served(mnist.collection, server.url, files)
    server.files = dict(list(files.items())[:2])
    with pytest.raises(DownloadError, match="t10k-images-idx3-ubyte.gz: the server answers 404"):
        collection.open()
    server.files = files
    server.asked.clear()
    mnist.check(collection.open().arrays)
    assert [name for name, _ in server.asked] == list(files)[2:]


def test_offline_two_lines_say_what_to_put_where(cifar, mnist, own_cache):
    offline = served(cifar.collection, "http://127.0.0.1:9", {"cifar-10-python.tar.gz": b"x"})
    with pytest.raises(DownloadError) as raised:
        offline.open()
    first, second = str(raised.value).split("\n")
    assert first.startswith(
        "cifar10 is not on this machine and cannot be downloaded: http://127.0.0.1:9/cifar-10-python"
    )
    assert second.startswith(f"put cifar-10-python.tar.gz (from http://127.0.0.1:9) into {own_cache / 'cifar10'}, or ")
    assert raised.value.exit_code == 1
    tar(own_cache / "cifar10" / "cifar-10-python.tar.gz", cifar.files)
    cifar.check(offline.open().arrays)
    with pytest.raises(DownloadError, match="put train-images-idx3-ubyte.gz, .*, t10k-labels-idx1-ubyte.gz "):
        served(mnist.collection, "http://127.0.0.1:9", gzipped(mnist.files)).open()


def test_a_download_that_is_another_file_leaves_nothing(cifar, server, own_cache):
    collection = served(cifar.collection, server.url, {"cifar-10-python.tar.gz": b"right"})
    server.files["cifar-10-python.tar.gz"] = b"wrong"
    with pytest.raises(DownloadError, match="gave a file with md5"):
        collection.open()
    assert os.listdir(own_cache / "cifar10") == [".lock"]


def test_a_cache_that_cannot_be_written_is_said(cifar, own_cache, tmp_path):
    own_cache.touch()
    with pytest.raises(DlcourseError, match="cannot keep data in .*: Not a directory; DLCOURSE_CACHE names another"):
        cifar.collection.open(str(cifar.write(tmp_path / "files")))


def test_a_copy_is_of_exactly_what_was_published(cifar, tmp_path):
    """Arrays that passed for one thing are never taken for another."""
    other_type = replace(cifar.collection, layout={**cifar.collection.layout, "test_y": ((4,), "i4")})
    other_files = cifar.accepting(test_batch=cifar.files["data_batch_1"])
    place = str(cifar.write(tmp_path / "one"))
    first, second = (each.open(place).decoded for each in (cifar.collection, other_type))
    with pytest.raises(DataError, match="test_batch has md5"):
        other_files.open(place)
    assert first != second


def test_processes_at_the_same_time_decode_once(cifar, own_cache, tmp_path):
    path = tar(tmp_path / "a.tar.xz", cifar.files)
    code = (
        "import sys; from tests.data.images import small_cifar10; from dlcourse.data.sources.cache import Decoded\n"
        "save = Decoded.save\n"
        "Decoded.save = lambda self, arrays: (print('saved'), save(self, arrays))\n"
        "cifar = small_cifar10(); cifar.check(cifar.collection.open(sys.argv[1]).arrays)"
    )
    command = [sys.executable, "-c", code, str(path)]
    root = Path(__file__).parents[3]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) for _ in range(3)]
    printed = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 3
    assert "".join(printed).split() == ["saved"]
    assert len(os.listdir(own_cache / "cifar10")) == 2
