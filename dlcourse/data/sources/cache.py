"""Decoded arrays in the cache folder: written once, whole or not at all, and memory-mapped from then on."""

import contextlib
import hashlib
import io
import math
import os
import shutil
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dlcourse import resources
from dlcourse.errors import DlcourseError, UserError
from dlcourse.filesystem import lock, sync

FOLDER_VARIABLE = resources.CACHE

_PARTIAL = ".partial"
_CHECKSUM = 9
"""Bytes behind an array."""

Layout = Mapping[str, tuple[tuple[int, ...], str]]
"""The shape and type of each array, by name."""


def cache_folder() -> Path:
    """Where downloads and decoded arrays lie, as :func:`dlcourse.resources.cache_folder`.

    Raises:
        UserError: this user has no home folder, and none is named.
    """
    try:
        return resources.cache_folder()
    except RuntimeError:
        raise UserError(f"this user has no home folder; set {FOLDER_VARIABLE} to a folder for data sets") from None


@dataclass(frozen=True)
class Decoded:
    """The arrays of one data set as ``.npy`` files in a folder of the cache, each with a checksum behind it.

    Args:
        home: the data set's folder in the cache.
        layout: the arrays.
        key: names the very content: equal keys, equal arrays.
    """

    home: Path
    layout: Layout
    key: str

    @property
    def folder(self) -> Path:
        """Where the arrays lie, if they are there."""
        return self.home / f"decoded-{self.key}"

    def load(self) -> dict[str, np.ndarray] | None:
        """The arrays, read-only and memory-mapped; None where they are not there, or not whole.

        The bytes are compared with their checksum, once in a process: about 0.1 s for each 200 MB.
        """
        arrays = {}
        for name, (shape, dtype) in self.layout.items():
            array = _mapped(self.folder / f"{name}.npy", shape, np.dtype(dtype))
            if array is None:
                return None
            arrays[name] = array
        return arrays

    def save(self, arrays: Mapping[str, np.ndarray], texts: Mapping[str, str] | None = None) -> None:
        """Put the arrays there in one rename, durably; the caller holds the :meth:`lock`.

        Args:
            texts: further files, by name.
        Raises:
            DlcourseError: they cannot be written, as on a full disk; nothing is left behind.
        """
        with self._writing():
            partial = self.home / f"decoded-{self.key}{_PARTIAL}"
            partial.mkdir()
            try:
                for name, array in arrays.items():
                    with open(partial / f"{name}.npy", "wb") as file:
                        file.write(_header(array.shape, array.dtype))
                        file.write(array.data)  # unlike np.save, says why the system refuses
                        file.write(_checksum(array))
                        file.flush()
                        sync(file.fileno(), self.folder)
                for name, text in (texts or {}).items():
                    (partial / name).write_text(text, encoding="utf-8")
                shutil.rmtree(self.folder, ignore_errors=True)  # what load found damaged
                os.rename(partial, self.folder)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise

    def remove_others(self) -> None:
        """Delete what other keys have left in this home; the caller holds the :meth:`lock`."""
        for other in self.home.glob("decoded-*"):
            if other != self.folder:
                shutil.rmtree(other, ignore_errors=True)

    def knows(self, files: Iterable[Path]) -> bool:
        """Whether these very files, unchanged since, have been verified before."""
        return self._mark(files).exists()

    def remember(self, files: Iterable[Path]) -> None:
        """Note that these files have been verified."""
        with self._writing():
            self._mark(files).write_text("".join(f"{path.absolute()}\n" for path in files), encoding="utf-8")

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Let one process at a time fetch and decode; another waits. Given back when the process ends, however it ends.

        Raises:
            DlcourseError: the folder cannot be written to.
        """
        with self._writing():
            self.home.mkdir(parents=True, exist_ok=True)
            file = open(self.home / ".lock", "a")  # noqa: SIM115 - held for as long as the lock
        with file:
            with self._writing():
                lock(file.fileno(), self.home / ".lock", wait=True)
            for leftover in self.home.glob(f"decoded-*{_PARTIAL}"):  # of a process that was killed
                shutil.rmtree(leftover, ignore_errors=True)
            yield

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DlcourseError(
                f"cannot keep data in {self.home}: {error.strerror or error}; {FOLDER_VARIABLE} names another folder"
            ) from error

    def _mark(self, files: Iterable[Path]) -> Path:
        status = {os.path.realpath(path): os.stat(path) for path in files}
        signature = [(path, each.st_size, each.st_mtime_ns, each.st_ino) for path, each in status.items()]
        return self.folder / f"verified-{digest(signature)}"


_verified: set[tuple[object, ...]] = set()
"""The files whose bytes this process has compared with their checksum, as they were then."""


def _mapped(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray | None:
    """The array of a file that :meth:`Decoded.save` wrote, mapped; None where it is not there or not as it was."""
    header, size = _header(shape, dtype), math.prod(shape) * dtype.itemsize
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if status.st_size != len(header) + size + _CHECKSUM or file.read(len(header)) != header:
                return None
            file.seek(-_CHECKSUM, os.SEEK_END)
            expected = file.read()
            array = np.memmap(file, dtype, "r", len(header), shape)
    except (OSError, ValueError):
        return None
    seen = (os.path.realpath(path), status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    if seen not in _verified:
        if _checksum(array) != expected:
            return None
        _verified.add(seen)
    return array


def _header(shape: tuple[int, ...], dtype: np.dtype) -> bytes:
    """That of an ``.npy`` file of such an array, row by row."""
    stream = io.BytesIO()
    described = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, described)
    return stream.getvalue()


def _checksum(array: np.ndarray) -> bytes:
    """What stands behind the array in its file, where readers of ``.npy`` do not look."""
    return b"crc32" + zlib.crc32(array.reshape(-1).view(np.uint8).data).to_bytes(4, "little")


def digest(value: object) -> str:
    """A short name for a plain value."""
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]
