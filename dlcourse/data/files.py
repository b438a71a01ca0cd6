"""Where data files are looked for."""

import os
from pathlib import Path

from dlcourse.errors import DataError

FOLDER_VARIABLE = "DLCOURSE_DATA"


def data_folder() -> Path | None:
    """The folder ``DLCOURSE_DATA``; None where it is not set."""
    folder = os.environ.get(FOLDER_VARIABLE)
    return Path(folder).expanduser() if folder else None


def find(name: str, folders: bool = False) -> Path:
    """The file of that name: absolute, or relative to the current folder, or else to the folder ``DLCOURSE_DATA``.

    Args:
        folders: take a folder too.
    Raises:
        DataError: there is none; the message lists the places.
    """
    path = Path(name).expanduser()
    folder = data_folder()
    places = [path]
    if folder and not path.is_absolute():
        places.append(folder / path)
    for place in places:
        if os.path.isfile(place) or (folders and os.path.isdir(place)):
            return place
    if os.path.isdir(path):
        raise DataError(f"{path} is a folder, expected a file")
    tried = " or ".join(str(place.absolute()) for place in places)
    hint = "" if folder else f"; set {FOLDER_VARIABLE} to the folder that holds your data"
    raise DataError(f"no data file {tried}{hint}")


def read_bytes(path: Path) -> bytes:
    """The whole file.

    Raises:
        DataError: it cannot be read, or is empty.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    if not content:
        raise DataError(f"{path} is empty")
    return content
