"""The idx format of MNIST and its kin: a header of sizes, then bytes."""

import math
import struct

import numpy as np

from dlcourse.errors import DataError

_UNSIGNED_BYTES = 0x08


def parse_idx(content: bytes, source: str) -> np.ndarray:
    """The array in an idx file of unsigned bytes, a view of ``content``.

    The file is two zero bytes, the type, the number of axes, each axis's length as a big-endian 32-bit number, and the
    elements, the last axis fastest.

    Args:
        content: the whole file, unpacked.
        source: what to call it in a message.
    Raises:
        DataError: the header is none, or declares something else than what follows it.
    """
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != _UNSIGNED_BYTES:
        raise DataError(
            f"{source} is no idx file of unsigned bytes: it begins with {content[:4].hex(' ') or 'nothing'}"
        )
    axes = content[3]
    start = 4 + 4 * axes
    if len(content) < start:
        raise DataError(f"{source} ends within its header of {axes} axes")
    shape = struct.unpack(f">{axes}I", content[4:start])
    declared, there = math.prod(shape), len(content) - start  # exact: Python's integers do not wrap round
    if declared != there:
        raise DataError(f"{source} declares {' x '.join(map(str, shape))} = {declared} bytes, but {there} follow")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
