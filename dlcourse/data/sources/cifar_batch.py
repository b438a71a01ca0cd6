"""A batch of CIFAR-10 in its two packagings: pickled by Python 2, or binary records."""

from typing import Any

import numpy as np

from dlcourse.data.sources.collection import check_labels
from dlcourse.errors import DataError

CLASSES = 10
PIXELS = 3 * 32 * 32

_OPCODES = frozenset(
    "PROTO EMPTY_DICT EMPTY_LIST MARK SHORT_BINSTRING BINSTRING BININT1 BININT2 BININT BINPUT LONG_BINPUT BINGET "
    "LONG_BINGET APPEND APPENDS SETITEM SETITEMS TUPLE TUPLE1 TUPLE2 TUPLE3 NONE NEWFALSE NEWTRUE GLOBAL REDUCE BUILD "
    "STOP".split()
)
"""What a batch is written with."""

_GLOBALS = frozenset({"numpy.core.multiarray _reconstruct", "numpy ndarray", "numpy dtype"})
"""What a batch asks for."""


def parse_python(content: bytes, samples: int, source: str) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and labels of a batch of the Python version, which is a pickle: ``{"data": ..., "labels": [...], ...}``.

    The pickle is read, not run: the pixels are its one long string, the labels the small integers after the text
    ``labels``. So whatever else it asks for is never looked up, let alone called.

    Args:
        content: the whole file.
        samples: N, how many the batch should hold.
        source: what to call it in a message.
    Returns:
        images (N, 32, 32, 3) uint8 and labels (N,) uint8.
    Raises:
        DataError: it is no such batch, or does not hold what it should.
    """
    import pickletools

    pixels: list[Any] = []
    labels: list[Any] = []
    key: Any = ""
    try:
        argument: Any
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name not in _OPCODES or (opcode.name == "GLOBAL" and argument not in _GLOBALS):
                what = f"asks for {argument!r}" if opcode.name == "GLOBAL" else f"uses {opcode.name}"
                raise DataError(f"{source} is no CIFAR-10 batch: as a pickle it {what}, so it is not read further")
            if opcode.name == "SHORT_BINSTRING":
                key = argument
            elif opcode.name == "BINSTRING":
                pixels.append(argument)
            elif key == "labels" and opcode.name.startswith("BININT"):
                labels.append(argument)
    except ValueError as error:
        raise DataError(f"{source} is no CIFAR-10 batch: {error}") from None
    if len(pixels) != 1 or len(pixels[0]) != samples * PIXELS:
        there = ", ".join(f"{len(each):,}" for each in pixels) or "none"
        raise DataError(f"{source}: expected one string of {samples * PIXELS:,} pixels, found {there}")
    if len(labels) != samples:
        raise DataError(f"{source}: {len(labels):,} labels for {samples:,} images")
    images = np.frombuffer(pixels[0].encode("latin-1"), np.uint8)
    return _channels_last(images), _checked(np.array(labels), source)


def parse_binary(content: bytes, samples: int, source: str) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and labels of a batch of the binary version: records of one label and 3072 pixels.

    See :func:`parse_python` for the rest.
    """
    if len(content) != samples * (1 + PIXELS):
        raise DataError(f"{source}: {len(content):,} bytes are not {samples:,} records of {1 + PIXELS}")
    records = np.frombuffer(content, np.uint8).reshape(samples, 1 + PIXELS)
    return _channels_last(records[:, 1:]), _checked(records[:, 0], source)


def _channels_last(pixels: np.ndarray) -> np.ndarray:
    """A file has all of red, then green, then blue, each row by row."""
    return pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)  # (N, H, W, C)


def _checked(labels: np.ndarray, source: str) -> np.ndarray:
    check_labels(labels, CLASSES, source)
    return labels.astype(np.uint8)
