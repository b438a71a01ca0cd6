"""Weighted sums along an axis as products with a small matrix.

Two taps of 32 x 16 x 16 x 64 along rows and then columns take 11.7 ms as sums of gathered elements, 5.1 as products
(one core of a shared AMD EPYC).
"""

import math

import numpy as np

from dlcourse.backend.cpu import threads
from dlcourse.backend.cpu.finite import finite
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import override
from dlcourse.backend.kernels import resample as kernels
from dlcourse.backend.kernels.resample import Taps

BLOCK_BYTES = 1 << 19
MAX_LENGTH = 512
"""Of the axis: a longer one has more zeros in its matrix than arithmetic is cheap."""


@override(kernels.resample, "cpu")
def resample(x: Array, axis: int, taps: Taps) -> Array:
    # Of an element that a place is not made of the product takes 0 times, which is no 0 if it is infinite.
    if len(taps.source) == 1 or taps.length > MAX_LENGTH or not finite(x):
        return NotImplemented
    return _along(kernels.matrix(taps).astype(x.dtype), x, axis)


@override(kernels.resample_grad, "cpu")
def resample_grad(dout: Array, axis: int, taps: Taps) -> Array:
    return _along(np.ascontiguousarray(kernels.matrix(taps).T, dtype=dout.dtype), dout, axis)


def _along(factor: Array, x: Array, axis: int) -> Array:
    before, after = math.prod(x.shape[:axis]), math.prod(x.shape[axis + 1 :])
    rows = np.ascontiguousarray(x).reshape(before, x.shape[axis], after)
    y = np.empty((before, len(factor), after), dtype=x.dtype)

    def multiply(part: slice) -> None:
        np.matmul(factor, rows[part], out=y[part])

    each = max(1, x.itemsize * (len(factor) + x.shape[axis]) * after)
    threads.run(multiply, threads.slices(before, max(1, BLOCK_BYTES // each)), blas=True)
    return y.reshape(*x.shape[:axis], len(factor), *x.shape[axis + 1 :])
