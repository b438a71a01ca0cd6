"""What the grader and the process of a case say to each other: frames of JSON and arrays; nothing is unpickled.

A frame is 8 bytes with its length and a safetensors file, whose metadata hold the JSON.
"""

import io
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from dlcourse.tensorfile import fill, layout, pieces

MAX_BYTES = 1 << 28
"""Of an answer: 256 MiB."""


def frame(message: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None = None) -> bytes:
    """The bytes to send."""
    body = b"".join(pieces(arrays or {}, {"message": json.dumps(message)}))
    return len(body).to_bytes(8, "big") + body


def receive(read: Callable[[int], bytes], max_bytes: int = MAX_BYTES) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The next message and its arrays.

    Args:
        read: gives exactly so many bytes.
        max_bytes: bytes that a frame may have.
    Raises:
        ValueError: what comes is no frame.
    """
    size = int.from_bytes(read(8), "big")
    if not 8 <= size <= max_bytes:
        raise ValueError(f"a frame of {size} bytes")
    file = io.BytesIO(read(size))
    length = int.from_bytes(file.read(8), "little")
    if length > size - 8:
        raise ValueError("a header longer than the frame")
    metadata, arrays = layout(file.read(length), size - 8 - length)
    for array in arrays.values():
        for _ in fill(file, array):
            pass
    message = json.loads(metadata.get("message", "null"))
    if not isinstance(message, dict):
        raise ValueError("no message")
    return message, arrays
