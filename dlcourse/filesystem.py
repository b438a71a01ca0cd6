"""Work on file systems that lack a function (shared folders, cloud drives): note it once, and do without."""

import contextlib
import errno
import itertools
import os
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

_LACKING = {errno.EINVAL, errno.ENOSYS, errno.ENOTTY, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK}
"""What the system says where there is no such thing, unlike a full disk or a broken one."""
_NO_FOLDERS = _LACKING | {errno.EBADF, errno.EACCES, errno.EPERM, errno.EISDIR}
NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
PARTIAL = ".partial"
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


@contextlib.contextmanager
def replacing(path: Path, durable: bool = False) -> Iterator[BinaryIO]:
    """A file that takes the path's place at the end of the ``with`` block: whole or not at all.

    No link is followed, neither at the path nor at the temporary name: a folder may come from another person.

    Args:
        durable: survive a power cut too, not only the death of the process.
    Raises:
        OSError: it cannot be written; what was there before still is.
    """
    partial = temporary(path)
    try:
        with _create(partial) as file:
            yield file
            if durable:
                file.flush()
                sync(file.fileno(), path)
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def temporary(path: Path) -> Path:
    """The hidden name, beside it, of what is to take the path's place.

    Raises:
        IsADirectoryError: the path has no name.
    """
    if not path.name:  # "." or "/"
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    return path.with_name(f".{path.name}{PARTIAL}")


def _create(path: Path) -> BinaryIO:
    """A new file; what had its name is removed first, and not what a link of that name points to."""

    def new(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_EXCL | NO_FOLLOW, 0o666)

    try:
        return open(path, "wb", opener=new)
    except FileExistsError:
        path.unlink(missing_ok=True)
        return open(path, "wb", opener=new)


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
