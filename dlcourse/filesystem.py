"""Work on file systems that lack a function (shared folders, cloud drives): note it once, and do without."""

import contextlib
import errno
import itertools
import os
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

_LACKING = {errno.EINVAL, errno.ENOSYS, errno.ENOTTY, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK}
"""What the system says where there is no such thing, unlike a full disk or a broken one."""
_NO_FOLDERS = _LACKING | {errno.EBADF, errno.EACCES, errno.EPERM, errno.EISDIR}
_STREAMS = {Path("/dev"), Path("/dev/fd"), Path("/proc/self/fd")}
_noted: set[str] = set()


@contextlib.contextmanager
def naming(path: str | os.PathLike) -> Iterator[None]:
    """Inside the ``with`` block an error of the system that names no file, as one of a write or a close, names this."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or os.fspath(path)
        raise


def write_in_place(path: Path, pieces: Iterable[bytes | memoryview]) -> bool:
    """Write into a link, a pipe or a device such as ``/dev/stdout``: renaming a new file to its name would destroy it.

    Returns:
        False where the path is none of these, and nothing is written.
    Raises:
        OSError: it cannot be written.
    """
    if not path.is_symlink() and (not path.exists() or path.is_file() or path.is_dir()):
        return False
    stream = path.absolute().parent in _STREAMS  # a file behind it belongs to the shell, which has written there too
    pieces = iter(pieces)
    first = next(pieces)  # what cannot be written shows here, before the file is emptied
    with open(path, "ab" if stream else "wb") as file:
        file.writelines(itertools.chain([first], pieces))
    return True


def lock(descriptor: int, path: Path, wait: bool = False) -> bool | None:
    """Lock an open file for this process, until it is closed.

    Args:
        path: the file's, for the note.
        wait: until the process that has the lock gives it back.
    Returns:
        Whether the lock is ours; None where the file system has no locks.
    """
    if os.name != "posix":
        return _lock_on_windows(descriptor, wait)
    import fcntl

    try:
        with _noting("locks", path.parent, "do not let two processes train in one folder"):
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            return True
    except BlockingIOError:
        return False
    return None


def sync(descriptor: int, path: Path) -> None:
    """Bring what was written to an open file to the disk, so that it survives a power cut."""
    with _noting("fsync of files", path.parent, "a power cut may cost the last checkpoints"):
        os.fsync(descriptor)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut."""
    if os.name != "posix":  # Windows cannot open a folder, and its renames are durable by themselves
        return
    meaning = "a power cut may bring the checkpoint before the last one back"
    with _noting("fsync of folders", folder, meaning, _NO_FOLDERS):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _lock_on_windows(descriptor: int, wait: bool) -> bool:
    import msvcrt

    windows: Any = msvcrt
    try:
        windows.locking(descriptor, windows.LK_LOCK if wait else windows.LK_NBLCK, 1)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _noting(what: str, folder: Path, meaning: str, lacking: set[int] = _LACKING) -> Iterator[None]:
    """Inside the ``with`` block the refusal of a file system that lacks a function is noted, the first time."""
    try:
        yield
    except OSError as error:
        if error.errno not in lacking:
            raise
        if what not in _noted:
            _noted.add(what)
            warnings.warn(f"{folder}: its file system has no {what} ({error.strerror}): {meaning}", stacklevel=4)
