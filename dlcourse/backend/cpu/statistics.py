"""Mean and variance of each column of a matrix, in blocks that stay in the cache, on all threads.

A block's sums are float32's (a product with ones, and ``einsum``), over at most 1,024 rows; blocks are put together in
float64 (Chan, Golub & LeVeque 1979). The result depends neither on the threads nor, but for rounding, on the order of
the rows.
"""

import numpy as np

from dlcourse.backend import threads
from dlcourse.backend.device import Array
from dlcourse.backend.memory import scratch

BLOCK_BYTES, ROWS = 1 << 19, 1 << 10
WIDE = 1 << 10
"""Columns from which sums down the columns are fast. A narrower matrix is read as one of fewer and longer rows."""

SPREAD = 4
"""Squared mean over variance from which a variance is not taken from the sum of squares, which drowns it."""


def statistics(x: Array) -> tuple[Array, Array]:
    """Mean and variance (1/M) of the columns of x (M, C), contiguous; float64."""
    rows, columns = x.shape
    together = 1
    while 0 < together * columns < WIDE and rows % (2 * together) == 0:
        together *= 2
    wide = x.reshape(rows // together, together * columns)
    with np.errstate(all="ignore"):  # what is infinite ends as NaN, without a warning from here
        mean, variance = _combined(*_sums(wide, centred=False), columns)
        if not (mean * mean <= SPREAD * variance).all():
            mean, variance = _combined(*_sums(wide, centred=True), columns)
    return mean, variance


def _sums(x: Array, centred: bool) -> tuple[Array, Array, Array]:
    """Of each block the number of its rows (B, 1), and (B, C) means, and sums of squared differences from them.

    Args:
        centred: take each block's mean off before squaring.
    """
    most = BLOCK_BYTES // max(1, x.itemsize * x.shape[1])
    blocks = threads.slices(len(x), max(8, min(ROWS, most)))
    counts = np.array([part.stop - part.start for part in blocks], dtype=np.float64)[:, None]
    sums, squares = (np.empty((len(blocks), x.shape[1]), dtype=x.dtype) for _ in range(2))
    centres, ones = np.zeros_like(sums), np.ones(min(len(x), ROWS), dtype=x.dtype)

    def add(index: int) -> None:
        part = x[blocks[index]]
        each = ones[: len(part)]
        if centred:
            np.dot(each, part, out=centres[index])
            centres[index] /= len(part)
            part = np.subtract(part, centres[index], out=scratch("statistics", part.shape, x.dtype))
        np.dot(each, part, out=sums[index])
        np.einsum("ij,ij->j", part, part, out=squares[index])

    threads.run(add, range(len(blocks)), blas=True)
    shifts = sums / counts  # float64: what is left of the mean when the centre is off
    return counts, centres + shifts, squares - counts * shifts * shifts


def _combined(counts: Array, means: Array, squares: Array, columns: int) -> tuple[Array, Array]:
    """Mean and variance of all blocks; ``columns`` of them side by side repeat."""
    counts = np.broadcast_to(counts, means.shape).reshape(-1, columns)
    means, squares = means.reshape(-1, columns), squares.reshape(-1, columns)
    total = counts.sum(axis=0)
    mean = (counts * means).sum(axis=0) / total
    apart = means - mean
    return mean, np.maximum((squares + counts * apart * apart).sum(axis=0) / total, 0)
