"""Softmax and its logarithm, over the last axis or another."""

from dlcourse.autograd import Function, Tensor, apply
from dlcourse.autograd.function import xp_of
from dlcourse.autograd.reduce import axes_of
from dlcourse.backend.device import Array

__all__ = ["log_softmax", "logsumexp", "softmax"]


class Softmax(Function):
    """y_i = e^(x_i) / sum_j e^(x_j); dx = y (dy - sum_j dy_j y_j). The maximum is taken off first. (Lecture 3.)"""

    wide = True

    def __init__(self, axis: int):
        self.axis = axis

    def forward(self, x: Array) -> Array:
        y = xp_of(x).exp(x - _maximum(x, self.axis))
        y /= y.sum(axis=self.axis, keepdims=True)
        self.y = y
        return y

    def backward(self, dout: Array) -> Array:
        return self.y * (dout - (dout * self.y).sum(axis=self.axis, keepdims=True))


class LogSoftmax(Function):
    """y_i = x_i - log sum_j e^(x_j); dx = dy - softmax(x) sum_j dy_j."""

    wide = True

    def __init__(self, axis: int):
        self.axis = axis

    def forward(self, x: Array) -> Array:
        xp = xp_of(x)
        y = x - _maximum(x, self.axis)
        y -= xp.log(xp.exp(y).sum(axis=self.axis, keepdims=True))
        self.y = y
        return y

    def backward(self, dout: Array) -> Array:
        return dout - xp_of(dout).exp(self.y) * dout.sum(axis=self.axis, keepdims=True)


class LogSumExp(Function):
    """y = log sum_j e^(x_j); dx = dy softmax(x)."""

    wide = True

    def __init__(self, axes: tuple[int, ...], keepdims: bool):
        self.axes, self.keepdims = axes, keepdims

    def forward(self, x: Array) -> Array:
        xp = xp_of(x)
        top = _maximum(x, self.axes)
        exponentials = xp.exp(x - top)
        totals = exponentials.sum(axis=self.axes, keepdims=True)
        self.share = exponentials / totals
        y = xp.log(totals) + top
        return y if self.keepdims else xp.squeeze(y, axis=self.axes)

    def backward(self, dout: Array) -> Array:
        return self.share * (dout if self.keepdims else xp_of(dout).expand_dims(dout, self.axes))


def _maximum(x: Array, axis: int | tuple[int, ...]) -> Array:
    """The largest element along the axis; 0 where that is infinite, so that no inf - inf arises from -inf rows."""
    xp = xp_of(x)
    top = x.max(axis=axis, keepdims=True) if x.size else xp.zeros_like(x.sum(axis=axis, keepdims=True))
    return xp.where(xp.isfinite(top), top, 0).astype(x.dtype)


def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """e^x / sum e^x along the axis: positive numbers that sum to one. ShapeError where x has no such axis."""
    return _along("softmax", Softmax, x, axis)


def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """log softmax(x) along the axis, without overflow or log 0."""
    return _along("log_softmax", LogSoftmax, x, axis)


def logsumexp(x: Tensor, axis: int | tuple[int, ...] = -1, keepdims: bool = False) -> Tensor:
    """log sum e^x along the axis or axes, without overflow; they go, or stay with length 1 (``keepdims``).

    Raises:
        ShapeError: x has no such axis.
    """
    return apply(LogSumExp(axes_of("logsumexp", axis, x.ndim), keepdims), x)


def _along(name: str, function: type[Softmax] | type[LogSoftmax], x: Tensor, axis: int) -> Tensor:
    """The function along an axis that is there; a tensor without axes counts as one row of one."""
    if x.ndim == 0:
        axes_of(name, axis, 0)
        return apply(function(-1), x.reshape(1)).reshape(())
    return apply(function(*axes_of(name, axis, x.ndim)), x)
