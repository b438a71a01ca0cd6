"""Archives are hostile input: only what was published comes out, all else is one line, and nothing is extracted."""

import gzip
import io
import lzma
import os
import tarfile
import time

import pytest

from dlcourse.data.sources.archive import Archive
from dlcourse.errors import DataError
from tests.data.images import add, published, tar

FILES = {"data_batch_1": bytes(range(256)) * 8, "test_batch": b"abc" * 700}
WANTED = {name: published(content) for name, content in FILES.items()}


def members(path):
    return {name: content for name, content, _ in Archive(path).members(WANTED)}


def refused(path, message):
    """The archive is refused in one line that names it, and nothing was put beside it."""
    before = sorted(os.listdir(path.parent))
    with pytest.raises(DataError, match=message) as raised:
        members(path)
    text = str(raised.value)
    assert str(path) in text and "\n" not in text and len(text) < 500
    assert sorted(os.listdir(path.parent)) == before


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2"])
def test_named_members_come_out_whatever_the_compression(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    mode = {".tar": "w", ".tgz": "w:gz"}.get(suffix, f"w:{suffix.rpartition('.')[2]}")
    with tarfile.open(path, mode) as file:
        add(file, "folder", kind=tarfile.DIRTYPE)
        add(file, "folder/readme.html", b"<html>")
        add(file, "folder/._data_batch_1", b"what macOS adds")
        for name, content in FILES.items():
            add(file, f"./folder/{name}", content)
    assert members(path) == FILES


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_all_dialects_of_tar_are_read(tmp_path, form):
    with tarfile.open(tmp_path / "a.tar", "w", format=form) as file:
        for name, content in FILES.items():
            member = tarfile.TarInfo(f"folder/{name}")
            member.size, member.mtime, member.uname = len(content), 1.5, "jos\u00e9"
            file.addfile(member, io.BytesIO(content))
    assert members(tmp_path / "a.tar") == FILES


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("/etc/cron.d/x", tarfile.REGTYPE, "holds '/etc/cron.d/x', which leads out of it"),
        ("../../data_batch_1", tarfile.REGTYPE, "which leads out of it"),
        ("a/../../b", tarfile.REGTYPE, "which leads out of it"),
        ("..", tarfile.DIRTYPE, "which leads out of it"),
        ("x/data_batch_1", tarfile.SYMTYPE, "which is no ordinary file"),
        ("x/data_batch_1", tarfile.LNKTYPE, "which is no ordinary file"),
        ("x/data_batch_1", tarfile.CHRTYPE, "which is no ordinary file"),
        ("x/data_batch_1", tarfile.BLKTYPE, "which is no ordinary file"),
        ("x/data_batch_1", tarfile.FIFOTYPE, "which is no ordinary file"),
        ("x/readme", tarfile.SYMTYPE, "which is no ordinary file"),
        ("y" * 5000, tarfile.SYMTYPE, "which is no ordinary file"),
        ("a\nb\x1b[2J", tarfile.SYMTYPE, r"holds 'a\\nb\\x1b\[2J'"),
    ],
)
def test_members_that_an_honest_archive_has_not_are_refused(tmp_path, name, kind, message):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as file:
        add(file, name, kind=kind, link="/etc/passwd")
        for each, content in FILES.items():
            add(file, each, content)
    refused(tmp_path / "a.tar.gz", message)


def test_a_member_there_twice_is_refused(tmp_path):
    with tarfile.open(tmp_path / "a.tar.xz", "w:xz") as file:
        for folder in ("one", "two"):
            add(file, f"{folder}/test_batch", FILES["test_batch"])
    refused(tmp_path / "a.tar.xz", "test_batch is there twice")


def test_a_changed_member_is_refused_with_both_sums(tmp_path):
    changed = bytearray(FILES["test_batch"])
    changed[5] ^= 1
    path = tar(tmp_path / "a.tar.gz", {"test_batch": bytes(changed)})
    refused(path, f"md5 {published(bytes(changed)).md5}, the official file has {WANTED['test_batch'].md5}")


@pytest.mark.parametrize("size", [0, 2099, 2101, 2**40])
def test_another_size_is_refused_before_reading(tmp_path, size):
    header = tarfile.TarInfo("x/test_batch")
    header.size = size
    path = tmp_path / "a.tar"
    path.write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(10240))
    refused(path, "test_batch (is empty|has [0-9,]+ bytes), the official file has 2,100")


def test_a_size_of_4000_digits_is_said_in_few_words(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as file:
        member = tarfile.TarInfo("x/test_batch")
        member.pax_headers = {"size": "9" * 4000}
        file.addfile(member)
    refused(tmp_path / "a.tar", "test_batch has no possible size")


def test_negative_and_giant_sizes_in_other_headers_end(tmp_path):
    for kind, size in ((tarfile.REGTYPE, 2**80), (tarfile.GNUTYPE_LONGNAME, 2**60), (tarfile.XHDTYPE, 2**60)):
        header = tarfile.TarInfo("x/other")
        header.size, header.type = size, kind
        path = tmp_path / "a.tar"
        path.write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(10240))
        refused(path, "damaged|unpacks to more than")
    header = bytearray(tarfile.TarInfo("x/other").tobuf())
    header[124:136] = b"\xff" * 11 + b"\x00"  # -256, in GNU's base 256
    header[148:156] = b"%06o\0 " % (256 + sum(header[:148]) + sum(header[156:512]))
    (tmp_path / "a.tar").write_bytes(bytes(header) + bytes(10240))
    assert members(tmp_path / "a.tar") == {}


def test_headers_that_only_name_the_next_one_end(tmp_path):
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 1
    (tmp_path / "a.tar").write_bytes((header.tobuf(tarfile.GNU_FORMAT) + bytes(512)) * 5000)
    refused(tmp_path / "a.tar", "headers within headers")


def test_a_bomb_ends_at_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr("dlcourse.data.sources.archive._SLACK", 1 << 20)
    path = tmp_path / "a.tar.xz"
    member = tarfile.TarInfo("x/other")
    member.size = 1 << 33
    with lzma.open(path, "wb", preset=0) as file:
        file.write(member.tobuf(tarfile.GNU_FORMAT))
        for _ in range(4):
            file.write(bytes(1 << 20))
    refused(path, "unpacks to more than 1 MiB")


def _timed(path, message):
    start = time.process_time()
    refused(path, message)
    assert time.process_time() - start < 8


def test_many_members_end_soon(tmp_path):
    path = tmp_path / "a.tar.gz"
    header = tarfile.TarInfo("x/other").tobuf(tarfile.GNU_FORMAT)
    with gzip.open(path, "wb", 1) as file:
        for _ in range(64):
            file.write(header * 2048)
    _timed(path, "has more than 1000 members")


@pytest.mark.parametrize("record", [b"6 a=b\n", b"11 comm=xy\n"])
def test_long_headers_end_soon(tmp_path, record):
    """Each byte of a pax header costs more than one of a file."""
    path = tmp_path / "a.tar.gz"
    header = tarfile.TarInfo("x/pax")
    records = record * ((60 << 20) // len(record))
    header.type, header.size = tarfile.XHDTYPE, len(records)
    with gzip.open(path, "wb", 1) as file:
        file.write(header.tobuf(tarfile.GNU_FORMAT) + records + bytes(-len(records) % 512))
        file.write(tarfile.TarInfo("x/other").tobuf() + bytes(10240))
    _timed(path, "unpacks to more than")


def test_many_headers_of_middling_length_end_soon(tmp_path):
    path = tmp_path / "a.tar.gz"
    records = b"6 a=b\n" * 20_000
    header = tarfile.TarInfo("x/pax")
    header.type, header.size = tarfile.XHDTYPE, len(records)
    one = header.tobuf(tarfile.GNU_FORMAT) + records + bytes(-len(records) % 512)
    one += tarfile.TarInfo("x/other").tobuf()
    with gzip.open(path, "wb", 1) as file:
        for _ in range(400):
            file.write(one)
    _timed(path, "unpacks to more than")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><title>Sign in</title>" * 99, "is no tar archive"),
        (b"\x1f\x8b" + b"<html>" * 99, "damaged"),
        (b"\xfd7zXZ\0" + b"<html>" * 99, "damaged"),
        (b"BZh9" + b"<html>" * 99, "damaged"),
    ],
)
def test_what_is_no_archive_says_so(tmp_path, content, message):
    (tmp_path / "a.tar.gz").write_bytes(content)
    refused(tmp_path / "a.tar.gz", message)


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tar.xz", ".tar.bz2"])
def test_truncated_and_flipped_archives_never_give_wrong_members(tmp_path, suffix):
    whole = tar(tmp_path / f"a{suffix}", FILES).read_bytes()
    path = tmp_path / f"damaged{suffix}"
    step = max(1, len(whole) // 60)
    damaged = [whole[:size] for size in range(0, len(whole), step)]
    damaged += [whole[:i] + bytes([whole[i] ^ 16]) + whole[i + 1 :] for i in range(0, len(whole), step)]
    refusals = 0
    for content in damaged:
        path.write_bytes(content)
        found = {}
        try:
            for name, data, _ in Archive(path).members(WANTED):
                found[name] = data
        except DataError as error:
            assert "damaged" in str(error) and "\n" not in str(error)
            refusals += 1
        # What came out before an error, or in spite of the damage, is what was published.
        assert found.items() <= FILES.items()
    assert refusals > len(damaged) / 4


def test_an_unreadable_archive_says_why(tmp_path):
    refused(tmp_path, "cannot be read: Is a directory")
