"""Bounds on the size of data: compared before anything is unpacked or allocated."""

import contextlib
import os
from pathlib import Path

from dlcourse.backend.memory import available
from dlcourse.errors import DataError, UserError
from dlcourse.text import format_bytes

VARIABLE = "DLCOURSE_MAX_GIB"
"""The environment variable that raises the bound."""

_MIN_BYTES = 1 << 30
_GROWTH = 8
"""A file may become at least 1 GiB, and at least so many times its own size."""


def check_size(path: Path, size: int, what: str, on_disk: int | None = None) -> None:
    """Compare what a file would take in memory with the bound, and with the memory that this machine has left.

    Args:
        size: bytes.
        what: takes them, for the message.
        on_disk: bytes of the file, where ``path`` is a folder of many.
    Raises:
        DataError: it is too much; says how to raise the bound.
    """
    bound = _bound(path, on_disk)
    if size > bound:
        raise DataError(
            f"{path}: {what} would take {format_bytes(size)}, more than the bound of {format_bytes(bound)} for this "
            f"file; if that is meant, raise it: {VARIABLE}={-(-size >> 30)} in the environment"
        )
    memory = available()
    if memory is not None and size > memory:
        raise DataError(
            f"{path}: {what} would take {format_bytes(size)}, more data than this machine has memory "
            f"({format_bytes(memory)} free)"
        )


def _bound(path: Path, on_disk: int | None) -> int:
    """The bytes that a file may become."""
    text = os.environ.get(VARIABLE)
    if text:
        try:
            return int(float(text) * (1 << 30))
        except (ValueError, OverflowError):
            raise UserError(f"{VARIABLE}: expected a number of GiB, got {text!r}") from None
    if on_disk is None:
        on_disk = 0
        with contextlib.suppress(OSError, ValueError):
            on_disk = os.stat(path).st_size
    return max(_MIN_BYTES, _GROWTH * on_disk)
