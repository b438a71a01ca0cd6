"""Write a file whole or not at all: a reader, or a process killed at any moment, leaves the old file or the new one."""

import contextlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from dlcourse.characters import encodable
from dlcourse.errors import DlcourseError, UserError
from dlcourse.filesystem import PARTIAL, replacing, temporary, write_in_place


@contextlib.contextmanager
def reporting_write_errors(path: Path) -> Iterator[None]:
    """Turn the system's refusal to write (full disk, no permission, a size limit) into one clear line.

    Raises:
        DlcourseError: naming the file and the reason.
    """
    try:
        yield
    except OSError as error:
        raise DlcourseError(f"cannot write {path}: {error.strerror or error}") from error


def write_by(write: Callable[[BinaryIO], Any], path: Path, durable: bool = True) -> None:
    """Replace ``path`` by what ``write(file)`` writes, see :func:`~dlcourse.filesystem.replacing`.

    Args:
        durable: survive a power cut too, not only the death of the process; False saves the waiting for the disk.
    Raises:
        DlcourseError: it cannot be written; what was there before still is.
    """
    with reporting_write_errors(path), replacing(path, durable) as file:
        write(file)


def write_bytes(path: Path, content: bytes, durable: bool = True) -> None:
    """Replace ``path`` by this content, see :func:`write_by`."""
    write_by(lambda file: file.write(content), path, durable)


def expect_folder(option: str, path: Path) -> None:
    """Refuse a file that the user named before the work for it begins, where the folder that it goes into is not there.

    Raises:
        UserError: naming the option, the file and the folder.
    """
    if not path.absolute().parent.is_dir():
        raise UserError(f"{option} {path}: there is no folder {path.parent}")


def write_output(path: Path, content: bytes) -> None:
    """Write a file that the user named: as :func:`write_bytes`, but through a link, and into a pipe or a device.

    Raises:
        DlcourseError: it cannot be written.
    """
    with reporting_write_errors(path):
        written = write_in_place(path, [content])
    if not written:
        write_bytes(path, content)


def copy(source: Path, path: Path) -> None:
    """Replace ``path`` by a copy of the file ``source``, see :func:`write_by`."""
    with reporting_write_errors(path), open(source, "rb") as content:
        write_by(lambda file: shutil.copyfileobj(content, file, 1 << 20), path)


def write_json(path: Path, value: Any, durable: bool = True) -> None:
    """Replace ``path`` by this value as indented JSON, see :func:`to_json` and :func:`write_bytes`."""
    write_bytes(path, (to_json(value, indent=2) + "\n").encode(), durable)


def to_json(value: Any, indent: int | None = None) -> str:
    """The value as JSON, see :func:`finite`: Python would write NaN as a bare word that other readers choke on."""
    try:
        text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    except ValueError:
        value = finite(value)
        text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    # The name of a file may hold bytes that no encoding knows; JSON's own escapes keep them.
    return text if encodable(text) else json.dumps(value, indent=indent, allow_nan=False)


def finite(value: Any) -> Any:
    """The value with None for each number in it that is infinite or NaN: JSON has neither, ``null`` stands for them."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(each) for key, each in value.items()}
    return [finite(each) for each in value] if isinstance(value, list | tuple) else value


def link(source: Path, path: Path) -> None:
    """Make ``path`` a second name of the file ``source``, replacing what had that name.

    A file system without hard links gets a copy. Durable with the next :func:`write_bytes` in the folder.
    """
    with reporting_write_errors(path):
        partial = temporary(path)
        partial.unlink(missing_ok=True)
        try:
            os.link(source, partial)
        except OSError:
            copy(source, path)
        else:
            os.replace(partial, path)
            # Where both are names of one file already, POSIX lets rename do nothing and keep the temporary name.
            partial.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Delete temporary files that a killed process left behind; the caller holds the folder's lock."""
    for path in folder.glob(f".*{PARTIAL}"):
        path.unlink(missing_ok=True)
