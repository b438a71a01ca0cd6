"""Sums, means, extremes and variances over axes; ``axis`` and ``keepdims`` as in NumPy."""

import math
from collections.abc import Sequence
from math import prod

from dlcourse.autograd.function import Function, xp_of
from dlcourse.backend.device import Array
from dlcourse.errors import ShapeError

Axis = int | tuple[int, ...] | None


def axes_of(name: str, axis: int | Sequence[int], ndim: int) -> tuple[int, ...]:
    """The axes from 0; of a tensor without axes, which has 0 and -1 as PyTorch has it, none.

    Raises:
        ShapeError: there is no such axis, or it is named twice.
        TypeError: an axis is no whole number.
    """
    named = tuple(axis) if isinstance(axis, tuple | list) else (axis,)
    if any(isinstance(one, bool) or not hasattr(one, "__index__") for one in named):
        raise TypeError(f"{name}: an axis is a whole number, got {axis!r}")
    span = max(ndim, 1)
    if any(not -span <= one < span for one in named):
        raise ShapeError(f"{name}: a tensor of {ndim} axes has the axes {-span} to {span - 1}, got {axis}")
    counted = tuple(one % span for one in named)
    if len(set(counted)) < len(counted):
        raise ShapeError(f"{name}: each axis is named once, got {axis}")
    return counted if ndim else ()


class Reduction(Function):
    """What reductions share: the axes, and giving a reduced array its axes back with length 1."""

    wide = True

    def __init__(self, axis: Axis = None, keepdims: bool = False):
        self.axis, self.keepdims = axis, keepdims
        self.name = type(self).__name__.lower()

    def remember(self, x: Array) -> None:
        """Keep the input's shape: as it is, with the reduced axes of length 1, and how many elements met in each."""
        if self.axis is not None:
            self.axis = axes_of(self.name, self.axis, x.ndim)
        axes = range(x.ndim) if self.axis is None else self.axis
        self.shape = x.shape
        self.kept = tuple(1 if i in axes else size for i, size in enumerate(x.shape))
        self.count = prod(x.shape[i] for i in axes)

    def spread(self, reduced: Array) -> Array:
        """A reduced array as a read-only view of the input's shape."""
        return xp_of(reduced).broadcast_to(reduced.reshape(self.kept), self.shape)


class Sum(Reduction):
    """y = sum_i x_i; dx_i = dy."""

    def forward(self, x: Array) -> Array:
        self.remember(x)
        return x.sum(axis=self.axis, keepdims=self.keepdims)

    def backward(self, dout: Array) -> Array:
        return self.spread(dout)


class Mean(Reduction):
    """y = 1/n sum_i x_i; dx_i = dy / n."""

    def forward(self, x: Array) -> Array:
        self.remember(x)
        if not self.count:  # the mean of nothing is not a number: as NumPy says, but without its warnings
            return x.sum(axis=self.axis, keepdims=self.keepdims) * math.nan
        return x.mean(axis=self.axis, keepdims=self.keepdims)

    def backward(self, dout: Array) -> Array:
        return self.spread(dout / self.count if self.count else dout)


class Extreme(Reduction):
    """y = max_i x_i (or min); dx_i = dy / k at each of the k elements that reach it, 0 elsewhere."""

    def __init__(self, name: str, axis: Axis = None, keepdims: bool = False):
        super().__init__(axis, keepdims)
        self.name = name

    def forward(self, x: Array) -> Array:
        self.remember(x)
        if not self.count:
            raise ShapeError(f"{self.name}: there is nothing to take the {self.name} of in a tensor of shape {x.shape}")
        y = getattr(x, self.name)(axis=self.axis, keepdims=self.keepdims)
        if self.wants_grad():
            self.reached = x == self.spread(y)
        return y

    def backward(self, dout: Array) -> Array:
        ties = self.reached.sum(axis=self.axis, keepdims=True).reshape(self.kept)
        return self.spread(dout) * self.reached / ties.astype(dout.dtype)


class Var(Reduction):
    """y = 1/(n - c) sum_i (x_i - mean)^2 with the correction c; dx_i = dy 2 (x_i - mean) / (n - c)."""

    def __init__(self, axis: Axis = None, correction: int = 1, keepdims: bool = False):
        super().__init__(axis, keepdims)
        self.correction = correction

    def forward(self, x: Array) -> Array:
        self.remember(x)
        self.x = x
        return x.var(axis=self.axis, ddof=self.correction, keepdims=self.keepdims)

    def backward(self, dout: Array) -> Array:
        centred = self.x - self.x.mean(axis=self.axis, keepdims=True)
        return self.spread(dout) * centred * (2 / (self.count - self.correction))
