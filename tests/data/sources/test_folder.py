"""Files of a folder: whatever is not what was published ends in one line, and a gzip bomb costs nothing."""

import gzip
import tracemalloc
import zlib

import pytest

from dlcourse.data.sources.folder import Folder
from dlcourse.errors import DataError
from tests.data.images import published

CONTENT = bytes(range(256)) * 20
WANTED = {"images": published(CONTENT)}


def read(path):
    return {name: content for name, content, _ in Folder(path.parent, {"images": path}).members(WANTED)}


def refused(path, message):
    with pytest.raises(DataError, match=message) as raised:
        read(path)
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)


def test_plain_and_gzipped_files_are_the_same(tmp_path):
    (tmp_path / "images").write_bytes(CONTENT)
    (tmp_path / "images.gz").write_bytes(gzip.compress(CONTENT))
    assert read(tmp_path / "images") == read(tmp_path / "images.gz") == {"images": CONTENT}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty, the official file has 5,120"),
        (CONTENT[:-1], "has 5,119 bytes, the official file has 5,120"),
        (b"<html>" * 1000, "has 6,000 bytes"),
        (CONTENT[:-1] + b"x", f"has md5 [0-9a-f]{{32}}, the official file has {published(CONTENT).md5}"),
    ],
)
def test_another_file_is_refused(tmp_path, content, message):
    (tmp_path / "images").write_bytes(content)
    refused(tmp_path / "images", message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (CONTENT, "damaged or no gzip file"),
        (gzip.compress(CONTENT)[:-9], "damaged or no gzip file"),
        (gzip.compress(CONTENT[:-1]), "has 5,119 bytes"),
        (gzip.compress(CONTENT + b"x"), "unpacks to more than the official 5,120 bytes"),
        (gzip.compress(CONTENT[:-1] + b"x"), "has md5"),
    ],
)
def test_another_gzipped_file_is_refused(tmp_path, content, message):
    (tmp_path / "images.gz").write_bytes(content)
    refused(tmp_path / "images.gz", message)


def test_truncated_and_flipped_gzip_files_never_pass(tmp_path):
    whole = gzip.compress(CONTENT, mtime=0)
    damaged = [whole[:size] for size in range(0, len(whole), 5)]
    damaged += [whole[:i] + bytes([whole[i] ^ 4]) + whole[i + 1 :] for i in range(10, len(whole), 3)]
    for content in damaged:
        (tmp_path / "images.gz").write_bytes(content)
        refused(tmp_path / "images.gz", "images.gz")


def test_a_bomb_is_not_unpacked(tmp_path):
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()
    (tmp_path / "images.gz").write_bytes(bomb)
    tracemalloc.start()
    refused(tmp_path / "images.gz", "unpacks to more than the official 5,120 bytes")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20


def test_an_unreadable_file_says_why(tmp_path):
    (tmp_path / "images").mkdir()
    refused(tmp_path / "images", "has [0-9,]+ bytes|cannot be read")
    refused(tmp_path / "gone.gz", "cannot be read: No such file")
