"""Read the JSON files of a folder that may be damaged, cut short, edited, or made to deceive."""

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

from dlcourse.errors import DamagedFileError
from dlcourse.records.check import Wrong, check
from dlcourse.records.run import Event


def content_of(path: Path) -> bytes:
    """All that a file holds. A pipe or a device, which may have no end, is not waited for.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it cannot be read, or is something else.
    """
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise OSError(errno.EINVAL, "expected an ordinary file, got something else", os.fspath(path))
    return path.read_bytes()


def read(path: Path, kind: Any) -> Any:
    """What a JSON file holds, checked against its type, see :func:`dlcourse.records.check.check`.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedFileError: names the file, and the field that is wrong.
    """
    try:
        content = content_of(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DamagedFileError(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        return check(parse_json(content), kind)
    except ValueError as error:
        raise DamagedFileError(f"{path}: damaged: {error}") from error


def parse_json(content: bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is empty, cut short, no UTF-8, or nested too deeply.
    """
    if not content.strip():
        raise ValueError("it is empty")
    try:
        return json.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"no UTF-8 text (byte {error.start})") from error
    except RecursionError:
        raise ValueError("nested too deeply") from None


def parse_events(content: bytes) -> list[Event | None]:
    """The lines of a ``metrics.jsonl``, None for one that is damaged; a last one that a killed process cut short, so
    that it does not end, is left out."""
    return [_event(line) for line in content.split(b"\n")[:-1]]


def _event(line: bytes) -> Event | None:
    try:
        return check(parse_json(line), Event)
    except (Wrong, ValueError):
        return None
