"""Open the files of a folder for writing, and follow no link: a folder may come from another person.

A symbolic link in it, such as ``log.txt`` to a file of the user's own, would let a run write there.
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from dlcourse.errors import UserError
from dlcourse.filesystem import NO_FOLLOW


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


def _there(name: str, flags: int) -> int:
    return os.open(name, flags | NO_FOLLOW, 0o666)


def _refuse(path: Path, allowed: Callable[[int], bool], expected: str) -> None:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not allowed(mode):
        what = "a symbolic link" if stat.S_ISLNK(mode) else "something else"
        raise UserError(f"{path}: expected {expected}, got {what}; nothing is written through it: remove it")
