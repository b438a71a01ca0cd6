"""Decoded arrays: written whole or not at all, mapped, and never by two processes at once."""

import multiprocessing
import os
import resource
from pathlib import Path

import numpy as np
import pytest

from dlcourse.data.sources.cache import Decoded, cache_folder
from dlcourse.errors import DlcourseError, UserError

ARRAYS = {"x": np.arange(24, dtype=np.uint8).reshape(2, 3, 4), "y": np.arange(2)}
LAYOUT = {"x": ((2, 3, 4), "u1"), "y": ((2,), "i8")}


@pytest.fixture
def decoded(tmp_path):
    store = Decoded(tmp_path / "set", LAYOUT, "key")
    with store.lock():
        store.save(ARRAYS)
    return store


def test_the_folder_is_the_platforms_unless_named(monkeypatch, tmp_path):
    monkeypatch.delenv("DLCOURSE_CACHE", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "dlcourse"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "dlcourse"
    monkeypatch.setattr("sys.platform", "darwin")
    assert cache_folder() == tmp_path / "Library" / "Caches" / "dlcourse"
    monkeypatch.setenv("DLCOURSE_CACHE", "~/mine")
    assert cache_folder() == tmp_path / "mine"


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch):
    def homeless(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("DLCOURSE_CACHE", raising=False)
    monkeypatch.setattr(Path, "expanduser", homeless)
    with pytest.raises(UserError, match="set DLCOURSE_CACHE"):
        cache_folder()


def test_arrays_come_back_mapped_and_read_only(decoded):
    arrays = decoded.load()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert isinstance(arrays[name], np.memmap)
        with pytest.raises(ValueError, match="read-only"):
            arrays[name][0] = 0
    assert sorted(os.listdir(decoded.folder)) == ["x.npy", "y.npy"]


@pytest.mark.parametrize("damage", ["missing", "truncated", "empty", "text", "another shape", "another type"])
def test_arrays_that_are_not_whole_are_none_and_can_be_written_again(decoded, damage):
    path = decoded.folder / "x.npy"
    if damage == "missing":
        path.unlink()
    elif damage in ("another shape", "another type"):
        np.save(path, ARRAYS["x"][:1] if damage == "another shape" else ARRAYS["x"].astype(np.int8))
    else:
        path.write_bytes({"truncated": path.read_bytes()[:-1], "empty": b"", "text": b"<html>" * 99}[damage])
    assert decoded.load() is None
    with decoded.lock():
        decoded.save(ARRAYS)
    np.testing.assert_array_equal(decoded.load()["x"], ARRAYS["x"])


HEADER = 128


@pytest.mark.parametrize("name", ["x", "y"])
@pytest.mark.parametrize(
    "place", ["magic", "header", "shape", "first", "middle", "last", "checksum", "zeros", "longer", "swapped"]
)
def test_a_changed_byte_anywhere_is_found(decoded, name, place):
    path = decoded.folder / f"{name}.npy"
    whole = bytearray(path.read_bytes())
    size = ARRAYS[name].nbytes
    status = os.stat(path)
    if place == "zeros":
        whole[HEADER + 1 : HEADER + size] = bytes(size - 1)
    elif place == "longer":
        whole += b"\0"
    elif place == "swapped":
        half = size // 2
        whole[HEADER : HEADER + size] = whole[HEADER + half : HEADER + size] + whole[HEADER : HEADER + half]
    else:
        at = {
            "magic": 1, "header": 8, "shape": 60, "first": HEADER, "middle": HEADER + size // 2,
            "last": HEADER + size - 1, "checksum": -1,
        }[place]  # fmt: skip
        whole[at] ^= 4
    path.write_bytes(whole)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # as where a disk forgets, not a program writes
    assert decoded.load() is None
    with decoded.lock():
        decoded.save(ARRAYS)
    np.testing.assert_array_equal(decoded.load()[name], ARRAYS[name])


def test_the_files_are_ordinary_npy_files(decoded):
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(np.load(decoded.folder / f"{name}.npy"), array)


def test_files_are_known_until_they_change(decoded, tmp_path):
    file = tmp_path / "source"
    file.write_text("one")
    assert not decoded.knows([file])
    decoded.remember([file])
    assert decoded.knows([file])
    os.utime(file, ns=(0, 0))
    assert not decoded.knows([file])


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path):
    large = {"x": np.zeros((1 << 20,), np.uint8)}
    decoded = Decoded(tmp_path / "set", {"x": ((1 << 20,), "u1")}, "key")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with decoded.lock():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
        try:
            with pytest.raises(DlcourseError, match="cannot keep data in .*/set: File too large; DLCOURSE_CACHE names"):
                decoded.save(large)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(decoded.home) == [".lock"]


def test_a_cache_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DlcourseError, match="cannot keep data in .*/file/set: Not a directory"):
        with Decoded(tmp_path / "file" / "set", LAYOUT, "key").lock():
            pass


def test_what_a_killed_process_left_is_cleared_away(decoded):
    leftover = decoded.home / "decoded-other.partial"
    leftover.mkdir()
    (leftover / "x.npy").touch()
    with decoded.lock():
        pass
    assert not leftover.exists() and decoded.load() is not None


def _enter(home, queue):
    with Decoded(home, LAYOUT, "key").lock():
        queue.put("entered")


def test_one_process_at_a_time(decoded):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    with decoded.lock():
        process = context.Process(target=_enter, args=(decoded.home, queue))
        process.start()
        process.join(1)
        assert queue.empty() and process.is_alive()
    process.join(60)
    assert process.exitcode == 0 and queue.get(timeout=10) == "entered"
