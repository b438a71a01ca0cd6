"""Checkpoints in memory: the bytes of a file, to damage and to compare them."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dlcourse.training.checkpoints import file_format
from dlcourse.training.checkpoints.file_format import Checkpoint


def encode(arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> bytes:
    """What :func:`~dlcourse.training.checkpoints.file_format.write` writes."""
    file = io.BytesIO()
    file_format.write(file, arrays, state)
    return file.getvalue()


def decode(content: bytes, path: Path) -> Checkpoint:
    """The checkpoint that a file of these bytes at ``path`` holds."""
    return file_format._read(io.BytesIO(content), len(content), path)
