"""Find data files."""

import contextlib
import os
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

from dlcourse.data.bounds import check_size
from dlcourse.errors import DataError

FOLDER_VARIABLE = "DLCOURSE_DATA"


_more_folders: ContextVar[tuple[Path, ...]] = ContextVar("more_folders", default=())


class MissingDataError(DataError):
    """There is no data file of that name where such are looked for."""


@contextlib.contextmanager
def looking_in(*folders: str | os.PathLike | None) -> Iterator[None]:
    """Inside the ``with`` block :func:`find` looks in these folders too, after the current one."""
    token = _more_folders.set(tuple(Path(folder) for folder in folders if folder))
    try:
        yield
    finally:
        _more_folders.reset(token)


def data_folder() -> Path | None:
    """The folder ``DLCOURSE_DATA``; None where it is not set."""
    folder = os.environ.get(FOLDER_VARIABLE)
    return Path(folder).expanduser() if folder else None


def find(name: str, folders: bool = False) -> Path:
    """The file of that name: absolute, or relative to the current folder, those of :func:`looking_in`, or the folder
    ``DLCOURSE_DATA``, in this order. (A config's file knows what lies beside it, see :mod:`dlcourse.config`.)

    Args:
        folders: take a folder too.
    Raises:
        MissingDataError: there is none; the message lists where it was looked for.
        DataError: it is a folder.
    """
    path = Path(name).expanduser()
    folder = data_folder()
    candidates = [path]
    if not path.is_absolute():
        candidates += [each / path for each in (*_more_folders.get(), *([folder] if folder else []))]
    for candidate in candidates:
        if os.path.isfile(candidate) or (folders and os.path.isdir(candidate)):
            return candidate
    if os.path.isdir(path):
        raise DataError(f"{path} is a folder, expected a file")
    tried = " or ".join(dict.fromkeys(str(candidate.absolute()) for candidate in candidates))
    hint = "" if folder else f"; set {FOLDER_VARIABLE} to the folder that holds your data"
    raise MissingDataError(f"no data file {tried}{hint}")


def read_bytes(path: Path) -> bytes:
    """The whole file.

    Raises:
        DataError: it cannot be read, is empty, or larger than what memory there is.
    """
    try:
        check_size(path, os.stat(path).st_size, "the file")
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    if not content:
        raise DataError(f"{path} is empty")
    return content
