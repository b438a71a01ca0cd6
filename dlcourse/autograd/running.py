"""Running products, extremes and sums of exponentials along an axis."""

from typing import Any

import numpy as np

from dlcourse.autograd.function import Function, xp_of
from dlcourse.backend.device import Array
from dlcourse.backend.kernels.running import accumulated, cumprod_grad
from dlcourse.backend.precision import is_floating


def extreme_places(choice: str, x: Array, axis: int) -> Array:
    """Where the largest ("maximum") or smallest ("minimum") of the elements up to each is, the last of equal ones; NaN
    is beyond both."""
    xp = xp_of(x)
    so_far = accumulated(x, axis, choice)
    sides = [1] * x.ndim
    sides[axis] = -1
    places = xp.arange(x.shape[axis]).reshape(sides)
    return accumulated(xp.where((x == so_far) | (x != x), places, 0), axis, "maximum")


class CumProd(Function):
    """y_i = x_1 ... x_i along an axis; dx_i = y_(i-1) g_i with g_i = dy_i + x_(i+1) g_(i+1): right beside zeros too."""

    compute_in_float32 = True

    def __init__(self, axis: int):
        self.axis = axis

    def forward(self, x: Array) -> Array:
        self.x = x
        kind = x.dtype if is_floating(x.dtype) else np.dtype(np.int64)
        self.y = xp_of(x).cumprod(x, axis=self.axis, dtype=kind) if x.ndim else x.astype(kind)
        return self.y

    def backward(self, dout: Array) -> Array:
        return cumprod_grad(dout, self.x, self.y, self.axis) if dout.ndim and dout.size else dout


class LogCumSumExp(Function):
    """y_i = log(e^(x_1) + ... + e^(x_i)) along an axis; dx_i = e^(x_i) sum_(k >= i) dy_k e^(-y_k).

    The gradient's sums are of logarithms too, those of positive and of negative dy apart, so that nothing overflows.
    """

    compute_in_float32 = True
    fractional = True

    def __init__(self, axis: int):
        self.axis = axis

    def forward(self, x: Array) -> Array:
        self.x = x
        self.y = accumulated(x, self.axis, "logaddexp") if x.ndim else x.copy()
        return self.y

    def backward(self, dout: Array) -> Array:
        if not dout.ndim:
            return dout
        xp = xp_of(dout)

        def part(weights: Any) -> Array:
            with np.errstate(divide="ignore"):  # log 0: what has no weight
                logarithms = xp.flip(xp.log(weights) - self.y, self.axis)
            return xp.exp(xp.flip(accumulated(logarithms, self.axis, "logaddexp"), self.axis) + self.x)

        return part(xp.maximum(dout, 0)) - part(xp.maximum(-dout, 0))
