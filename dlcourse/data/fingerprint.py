"""The fingerprint of a data set: for each split a count and a checksum of the content.

CRC-32 reads 3 GB a second on one core: 60 ms for the 184 MB of CIFAR-10, nothing for a table. It finds a change that
happened by accident or by an edit; it is no protection against intent to deceive.
"""

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from dlcourse.data.dataset import Data, Split
from dlcourse.data.rows import Rows
from dlcourse.data.windows import WindowSplit

_CHUNK = 1 << 22  # bytes looked at at a time: what is memory-mapped never lies in memory as a whole
_MAX_BYTES = 1 << 28  # of an array that is larger, evenly spaced rows of about so many bytes are looked at

Fingerprint = dict[str, dict[str, Any]]
"""``{"train": {"samples": 120, "hash": "3610a686-1c291ca3"}, ...}``."""


def fingerprint(data: Data) -> Fingerprint:
    """The number of samples of each split, and the checksums of its inputs and targets.

    They are taken of the raw values: normalization and augmentation make no difference. Floating-point numbers that
    were computed (a synthetic data set, means in place of missing cells) count to float32's precision, so that another
    machine's rounding is no change.
    """
    computed = not data.dataset.source or data.dataset.fill_missing
    return {name: {"samples": len(subset), "hash": _hash(subset, computed)} for name, subset in data.splits.items()}


def differences(before: Mapping[str, Mapping[str, Any]], now: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What differs between two fingerprints, one phrase a split: ``train had 120 samples, now 121``."""
    changes = []
    for split in dict.fromkeys([*before, *now]):
        was, is_now = (each.get(split, {"samples": 0, "hash": ""}) for each in (before, now))
        if was["samples"] != is_now["samples"]:
            changes.append(f"{split} had {was['samples']} samples, now {is_now['samples']}")
        elif was["hash"] != is_now["hash"]:
            changes.append(f"{split} still has {is_now['samples']} samples, but others or with other values")
    return changes


def _hash(subset: Split, computed: bool) -> str:
    arrays = (subset.tokens,) if isinstance(subset, WindowSplit) else (subset.x, subset.y)
    return "-".join(f"{_checksum(array, computed):08x}" for array in arrays)


def _checksum(array: np.ndarray | Rows, computed: bool) -> int:
    """CRC-32 of type, shape and content, row by row."""
    dtype = np.dtype(np.float32) if computed and array.dtype == np.float64 else array.dtype
    checksum = zlib.crc32(f"{array.dtype.str} {array.shape[1:]}".encode())
    row_bytes = max(1, array.nbytes // max(1, len(array)))
    stride = -(-array.nbytes // _MAX_BYTES)
    step = max(1, _CHUNK // row_bytes) * stride
    for start in range(0, len(array), step):
        rows = array[start : min(start + step, len(array)) : stride]
        checksum = zlib.crc32(np.ascontiguousarray(rows, dtype=dtype).data.cast("B"), checksum)
    return checksum
