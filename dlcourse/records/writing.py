"""Open the files of a folder for writing, and follow no link: a folder may come from another person.

A symbolic link in it, such as ``log.txt`` to a file of the user's own, would let a run write there.
"""

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from dlcourse.errors import UserError

_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)


def create(path: Path) -> BinaryIO:
    """A new file; what had its name is removed first, and not what a link of that name points to.

    Raises:
        OSError: it cannot be made.
    """
    try:
        return open(path, "wb", opener=_new)
    except FileExistsError:
        path.unlink(missing_ok=True)
        return open(path, "wb", opener=_new)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the path's place at the end of the ``with`` block: whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with create(partial) as file:
            yield file
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def append(path: Path) -> BinaryIO:
    """A file to add to; made where there is none.

    Raises:
        UserError: it is a link, or no file.
        OSError: it cannot be opened.
    """
    _refuse(path, stat.S_ISREG, "an ordinary file")
    return open(path, "ab", opener=_there)


def real_folder(path: Path) -> Path:
    """The path, which has to be a folder and no link to one, where there is anything.

    Raises:
        UserError: it is something else.
    """
    _refuse(path, stat.S_ISDIR, "a folder")
    return path


def _new(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_EXCL | _NO_FOLLOW, 0o666)


def _there(name: str, flags: int) -> int:
    return os.open(name, flags | _NO_FOLLOW, 0o666)


def _refuse(path: Path, allowed: Callable[[int], bool], expected: str) -> None:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not allowed(mode):
        what = "a symbolic link" if stat.S_ISLNK(mode) else "something else"
        raise UserError(f"{path}: expected {expected}, got {what}; nothing is written through it: remove it")
