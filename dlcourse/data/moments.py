"""Smallest and largest value, mean and standard deviation over all samples, a chunk at a time: whatever the size and
the type of the data, in float64, with no copy of them all."""

from dataclasses import dataclass

import numpy as np

from dlcourse.data.rows import Rows, chunks

_CHUNK = 1 << 18  # numbers: they and their squares in floating point stay in the cache
_LARGEST = 1e130  # beyond it, and below its inverse, sums of squares may overflow or vanish
_MAX_BYTES_ROWS = 256  # a float32 holds the sum of so many squares of bytes exactly: 256 * 255^2 < 2^24


@dataclass(frozen=True)
class Moments:
    """Of each feature, or each position in an image: arrays of the shape of one sample, or of its channels."""

    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray | Rows, per_position: bool) -> "Moments":
        """Look at all samples x (N, ...).

        Args:
            per_position: False: what has the same last index counts as one, as a channel's pixels.
        """
        shape = x.shape[1:] if per_position else x.shape[-1:]
        width = int(np.prod(shape))
        found = _of_bytes(x, width) if x.dtype == np.uint8 else _of_numbers(x, width)
        return cls(*(np.asarray(array, dtype=np.float64).reshape(shape) for array in found))


def _of_numbers(x: np.ndarray | Rows, width: int) -> tuple[np.ndarray, ...]:
    """Three passes: deviations are taken from a number of the data's own size, so nothing cancels."""
    low, high = np.full(width, np.inf), np.full(width, -np.inf)
    for _, rows in chunks(x, _CHUNK):
        rows = rows.reshape(-1, width)
        np.minimum(low, rows.min(axis=0), out=low)
        np.maximum(high, rows.max(axis=0), out=high)
    total, squares, count = np.zeros(width), np.zeros(width), x.size // width
    for _, rows in chunks(x, _CHUNK):
        total += (rows.reshape(-1, width) - low).sum(axis=0)
    mean, unit = low + total / count, _unit(high - low)
    for _, rows in chunks(x, _CHUNK):
        deviation = rows.reshape(-1, width) - mean
        if unit is not None:
            deviation /= unit
        squares += np.einsum("ij,ij->j", deviation, deviation)
    std = np.sqrt(squares / count)
    return low, high, mean, std if unit is None else std * unit


def _unit(spread: np.ndarray) -> np.ndarray | None:
    """Powers of two near these ranges, in which deviations are measured; None where their squares are no problem."""
    if not ((spread > _LARGEST) | (spread < 1 / _LARGEST) & (spread > 0)).any():
        return None
    return np.ldexp(1.0, np.where((spread > 0) & np.isfinite(spread), np.frexp(spread)[1] - 1, 0))


def _of_bytes(x: np.ndarray | Rows, width: int) -> tuple[np.ndarray, ...]:
    """One pass for each position, in whole numbers; positions that count as one are put together after it."""
    positions = int(np.prod(x.shape[1:]))
    low, high = np.full(positions, 255, np.uint8), np.zeros(positions, np.uint8)
    total, squares = np.zeros(positions), np.zeros(positions)
    for _, rows in chunks(x, _CHUNK, _MAX_BYTES_ROWS):
        rows = rows.reshape(len(rows), positions)
        np.minimum(low, rows.min(axis=0), out=low)
        np.maximum(high, rows.max(axis=0), out=high)
        exact = rows.astype(np.float32)
        total += exact.sum(axis=0)
        squares += np.einsum("ij,ij->j", exact, exact)
    low, high = low.reshape(-1, width).min(axis=0), high.reshape(-1, width).max(axis=0)
    total, squares = (array.reshape(-1, width).sum(axis=0) for array in (total, squares))
    count = x.size // width
    # Python's whole numbers: the squares of the totals are more than a float64 holds exactly.
    variance = [(count * int(q) - int(t) ** 2) / count**2 for t, q in zip(total, squares, strict=True)]
    return low, high, total / count, np.sqrt(variance)
