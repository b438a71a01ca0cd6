"""Softmax, its logarithm, and the logarithm of the sum that it divides by."""

import numpy as np

from dlcourse.autograd.function import Function, xp_of
from dlcourse.autograd.reduce import Reduction
from dlcourse.backend.device import Array
from dlcourse.backend.kernels.sums import sum_over


class Softmax(Function):
    """y_i = e^(x_i) / sum_j e^(x_j); dx = y (dy - sum_j dy_j y_j). The maximum is taken off first. (Lecture 3.)"""

    compute_in_float32 = True
    fractional = True

    def __init__(self, axis: int):
        self.axis = axis

    def forward(self, x: Array) -> Array:
        y = xp_of(x).exp(x - _maximum(x, (self.axis,)))
        y /= _sum(y, self.axis)
        self.y = y
        return y

    def backward(self, dout: Array) -> Array:
        return self.y * (dout - _sum(dout * self.y, self.axis))


class LogSoftmax(Function):
    """y_i = x_i - log sum_j e^(x_j); dx = dy - softmax(x) sum_j dy_j."""

    compute_in_float32 = True
    fractional = True

    def __init__(self, axis: int):
        self.axis = axis

    def forward(self, x: Array) -> Array:
        xp = xp_of(x)
        y = x - _maximum(x, (self.axis,))
        with np.errstate(divide="ignore"):  # the sum of nothing
            y -= xp.log(_sum(xp.exp(y), self.axis))
        self.y = y
        return y

    def backward(self, dout: Array) -> Array:
        return dout - xp_of(dout).exp(self.y) * _sum(dout, self.axis)


class LogSumExp(Reduction):
    """y = log sum_j e^(x_j); dx = dy softmax(x)."""

    fractional = True

    def forward(self, x: Array) -> Array:
        self.remember(x)
        xp = xp_of(x)
        top = _maximum(x, self.axes)
        top = xp.where(xp.isfinite(top), top, 0).astype(x.dtype)  # no inf - inf: of -inf alone the result is -inf
        exponentials = xp.exp(x - top)
        totals = self.sum_float32(exponentials)
        self.share = exponentials / totals
        with np.errstate(divide="ignore"):  # of nothing, and of -inf alone, the result is -inf
            return self.finished(xp.log(totals) + top)

    def backward(self, dout: Array) -> Array:
        return self.share * self.spread(dout)


def _sum(x: Array, axis: int) -> Array:
    return sum_over(x, (axis,)) if x.ndim else x


def _maximum(x: Array, axes: tuple[int, ...]) -> Array:
    """The largest element along the axes, which stay with length 1; 0 of nothing. Where it is infinite, x less it is
    not a number, and so is the softmax, as PyTorch has it."""
    xp = xp_of(x)
    if not x.ndim:
        axes = ()
    return x.max(axis=axes, keepdims=True) if x.size else xp.zeros_like(x.sum(axis=axes, keepdims=True))
