"""Arrays of an .npz archive: nothing is unpickled, and nothing is allocated that is not in the file."""

import contextlib
import lzma
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from dlcourse.data.bounds import check_size
from dlcourse.errors import DataError

_DAMAGE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, tokenize.TokenError,
    EOFError, ValueError, TypeError, NotImplementedError, RuntimeError, SyntaxError,
)  # fmt: skip
"""What reading a damaged archive raises."""
_HEADER_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


@dataclass(frozen=True)
class Archive:
    """An open archive and its arrays by name, see :func:`open_npz`."""

    path: Path
    archive: zipfile.ZipFile
    members: dict[str, zipfile.ZipInfo]

    def read(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """These arrays, having compared what each declares with what is in the file and with memory."""
        size = sum(self.members[name].file_size for name in names)
        check_size(self.path, size, f"the array{'s' * (len(names) != 1)} {', '.join(names)}")
        return {name: _read_member(self.path, self.archive, self.members[name]) for name in names}


@contextlib.contextmanager
def open_npz(path: Path, file: BinaryIO | None = None) -> Iterator[Archive]:
    """An archive, in whose block whatever is wrong with it becomes a DataError.

    Args:
        path: for messages, and the file unless ``file`` is one.
    Raises:
        DataError: no archive, a damaged one, or an array that holds Python objects; or the arrays would take more than
            the bound of :mod:`dlcourse.data.bounds`.
    """
    try:
        with zipfile.ZipFile(file or path) as archive:
            there = {member.filename: member for member in archive.infolist()}
            members = {name.removesuffix(".npy"): each for name, each in there.items() if name.endswith(".npy")}
            yield Archive(path, archive, members)
    except _DAMAGE as error:
        raise DataError(f"{path} is not an .npz archive of NumPy, or it is damaged: {error}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None


def _read_member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        if version not in _HEADER_READERS:
            raise DataError(f"{path}: {member.filename} has the unknown format version {version}")
        shape, _, dtype = _HEADER_READERS[version](stream)
        if dtype.hasobject:
            raise DataError(f"{path}: {member.filename} holds Python objects, which are not read")
        declared, there = math.prod(shape) * dtype.itemsize, member.file_size - stream.tell()
        if declared != there:
            raise DataError(f"{path}: {member.filename} declares {declared} bytes but {there} follow")
    with archive.open(member) as stream:
        return np.asarray(np.lib.format.read_array(stream), order="C")
