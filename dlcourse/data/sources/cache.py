"""Arrays kept decoded in the cache folder: written once, whole or not at all, and memory-mapped from then on."""

import contextlib
import hashlib
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dlcourse.errors import DlcourseError, UserError

FOLDER_VARIABLE = "DLCOURSE_CACHE"

_PARTIAL = ".partial"

Layout = Mapping[str, tuple[tuple[int, ...], str]]
"""The shape and type of each array, by name."""


def cache_folder() -> Path:
    """Where downloads and decoded arrays lie: ``DLCOURSE_CACHE``, or ``dlcourse`` in the platform's cache folder.

    Raises:
        UserError: neither is known.
    """
    named = os.environ.get(FOLDER_VARIABLE)
    if sys.platform == "darwin":
        default = "~/Library/Caches"
    else:
        default = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        return (Path(named) if named else Path(default) / "dlcourse").expanduser().absolute()
    except RuntimeError:
        raise UserError(f"this user has no home folder; set {FOLDER_VARIABLE} to a folder for data sets") from None


@dataclass(frozen=True)
class Decoded:
    """The arrays of one data set as ``.npy`` files in a folder of the cache.

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
        """The arrays, read-only and memory-mapped; None where they are not there, or not whole."""
        arrays = {}
        for name, (shape, dtype) in self.layout.items():
            try:
                array = np.load(self._path(self.folder, name), mmap_mode="r")
            except (OSError, ValueError, EOFError):
                return None
            if array.shape != shape or array.dtype != np.dtype(dtype):
                return None
            arrays[name] = array
        return arrays

    def save(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Put the arrays there in one rename, durably; for whoever holds the :meth:`lock`.

        Raises:
            DlcourseError: they cannot be written, as on a full disk; nothing is left behind.
        """
        with self._writing():
            partial = self.home / f"decoded-{self.key}{_PARTIAL}"
            partial.mkdir()
            try:
                for name, array in arrays.items():
                    with open(self._path(partial, name), "wb") as file:
                        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
                        file.write(array.data)  # unlike np.save, says why the system refuses
                        file.flush()
                        os.fsync(file.fileno())
                shutil.rmtree(self.folder, ignore_errors=True)  # what load found damaged
                os.rename(partial, self.folder)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise

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
        import fcntl

        with self._writing():
            self.home.mkdir(parents=True, exist_ok=True)
            file = open(self.home / ".lock", "a")  # noqa: SIM115 - held for as long as the lock
        with file:
            with self._writing():
                fcntl.flock(file, fcntl.LOCK_EX)
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
        signature = []
        for path in files:
            status = os.stat(path)
            signature.append((os.path.realpath(path), status.st_size, status.st_mtime_ns, status.st_ino))
        return self.folder / f"verified-{digest(signature)}"

    @staticmethod
    def _path(folder: Path, name: str) -> Path:
        return folder / f"{name}.npy"


def digest(value: object) -> str:
    """A short name for a plain value."""
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]

