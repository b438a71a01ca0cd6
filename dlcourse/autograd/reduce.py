"""Sums, means, extremes and variances over axes; ``axis`` and ``keepdims`` as in NumPy."""

import copy
import math
from math import prod
from typing import Any

import numpy as np

from dlcourse.autograd.function import Function, xp_of
from dlcourse.autograd.replicas import ReplicaArray, Rule
from dlcourse.backend.device import Array
from dlcourse.backend.kernels.sums import sum_over
from dlcourse.backend.precision import is_floating
from dlcourse.errors import ShapeError

Axis = int | tuple[int, ...] | None


class ReductionRule(Rule):
    """A reduction behind the axis of the replicas: its axes shift by one."""

    def forward(self, x: ReplicaArray) -> Array:
        axis = self.function.axis
        axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
        self.shifted = copy.copy(self.function)
        self.shifted.axis = tuple(each % x.ndim + 1 for each in axes)
        self.shifted.needs_input_grad = self.needs_input_grad
        return self.shifted.forward(x.values)

    def backward(self, dout: Array) -> Any:
        return self.shifted.backward(dout)


class Reduction(Function):
    """What reductions share: the axes, and giving a reduced array its axes back with length 1."""

    compute_in_float32 = True

    def __init__(self, axis: Axis = None, keepdims: bool = False):
        self.axis, self.keepdims = axis, keepdims

    def remember(self, x: Array) -> None:
        """Keep the input's shape: as it is, with the reduced axes of length 1, and how many elements met in each."""
        axes = range(x.ndim) if self.axis is None else (self.axis,) if isinstance(self.axis, int) else self.axis
        self.axes = tuple(axis % x.ndim if x.ndim else axis for axis in axes)
        self.shape = x.shape
        self.keepdims_shape = tuple(1 if i in self.axes else size for i, size in enumerate(x.shape))
        self.count = prod(x.shape[i] for i in self.axes)

    def sum_float32(self, x: Array) -> Array:
        """The sum over the axes, which stay with length 1; of whole numbers as int64."""
        if is_floating(x.dtype):
            return sum_over(x, self.axes)
        return x.sum(axis=self.axes, keepdims=True).astype(np.int64, copy=False)

    def finished(self, reduced: Array) -> Array:
        """A result whose axes are there with length 1 in the shape that was asked for."""
        if self.keepdims:
            return reduced.reshape(self.keepdims_shape)
        return reduced.reshape(tuple(size for i, size in enumerate(self.shape) if i not in self.axes))

    def spread(self, reduced: Array) -> Array:
        """A reduced array as a read-only view of the input's shape."""
        return xp_of(reduced).broadcast_to(reduced.reshape(self.keepdims_shape), self.shape)


class Sum(Reduction):
    """y = sum_i x_i; dx_i = dy."""

    replica_rule = ReductionRule

    def forward(self, x: Array) -> Array:
        self.remember(x)
        return self.finished(self.sum_float32(x))

    def backward(self, dout: Array) -> Array:
        return self.spread(dout)


class Mean(Reduction):
    """y = 1/n sum_i x_i; dx_i = dy / n."""

    replica_rule = ReductionRule

    def forward(self, x: Array) -> Array:
        self.remember(x)
        # The mean of nothing is not a number: as NumPy says, but without its warnings.
        sums = self.sum_float32(x)
        return self.finished(sums / self.count if self.count else sums * math.nan)

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
            top = self.spread(y)
            self.reached = (x == top) | ((x != x) & (top != top))
        return y

    def backward(self, dout: Array) -> Array:
        xp = xp_of(dout)
        ties = self.reached.sum(axis=self.axes, keepdims=True).reshape(self.keepdims_shape).astype(dout.dtype)
        return xp.where(self.reached, self.spread(dout.reshape(self.keepdims_shape) / ties), dout.dtype.type(0))


def extreme_indices(name: str, x: Array, axis: int) -> Array:
    """The index along an axis, which goes, of the largest or smallest element, the first where several reach it.

    Raises:
        ShapeError: there is no element.
    """
    if not x.ndim:
        return x.argmax()
    if not x.shape[axis]:
        raise ShapeError(f"{name}: there is nothing to take the {name} of in a tensor of shape {x.shape}")
    return getattr(x, f"arg{name}")(axis=axis)


class Picked(Function):
    """y = the element of x at an index along one axis; dx gets dy there, 0 elsewhere. The indices have y's shape."""

    def __init__(self, indices: Array, axis: int, keepdims: bool):
        self.indices, self.axis, self.keepdims = indices, axis, keepdims

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        if not x.ndim:
            return x.copy()
        y = xp_of(x).take_along_axis(x, self._whole(self.indices), self.axis)
        return y if self.keepdims else y.squeeze(self.axis)

    def backward(self, dout: Array) -> Array:
        if not self.shape:
            return dout
        xp = xp_of(dout)
        along = [1] * len(self.shape)
        along[self.axis] = -1
        chosen = xp.arange(self.shape[self.axis]).reshape(along) == self._whole(self.indices)
        return xp.where(chosen, self._whole(dout), dout.dtype.type(0))

    def _whole(self, y: Array) -> Array:
        """What has y's shape with the axis that may be gone."""
        return y if self.keepdims else xp_of(y).expand_dims(y, self.axis)


class Var(Reduction):
    """y = 1/(n - c) sum_i (x_i - mean)^2 with the correction c; dx_i = dy 2 (x_i - mean) / (n - c).

    Two passes, the mean first: one pass loses the digits that the mean takes.
    """

    fractional = True

    def __init__(self, axis: Axis = None, correction: float = 1, keepdims: bool = False):
        super().__init__(axis, keepdims)
        self.correction = correction

    def forward(self, x: Array) -> Array:
        self.remember(x)
        self.x, self.mean = x, self.sum_float32(x) / max(1, self.count)
        centered = x - self.mean
        squares: Any = self.sum_float32(centered * centered)
        left = self.count - self.correction
        if left > 0:
            return self.finished(squares / left if self.count else squares * math.nan)
        # Of too few elements there is no variance: 0 / 0, or infinity where they differ, as PyTorch has it.
        return self.finished(xp_of(squares).where(squares > 0, squares.dtype.type(math.inf), squares * math.nan))

    def backward(self, dout: Array) -> Array:
        left = self.count - self.correction
        return self.spread(dout) * (self.x - self.mean) * (2 / left if left > 0 else math.nan)


class Std(Var):
    """y = sqrt of the variance v; dx_i = dy (x_i - mean) / (y (n - c)), 0 where y = 0, as PyTorch has it."""

    def forward(self, x: Array) -> Array:
        variance = super().forward(x)
        self.y = xp_of(x).sqrt(variance)
        return self.y

    def backward(self, dout: Array) -> Array:
        xp = xp_of(dout)
        flat = self.y == 0
        slope = dout / xp.where(flat, dout.dtype.type(1), 2 * self.y)
        return super().backward(xp.where(flat, dout.dtype.type(0), slope))


class Norm2(Reduction):
    """y = sqrt(sum_i x_i^2), the Euclidean length; dx_i = dy x_i / y, 0 where y = 0, as PyTorch has it."""

    def forward(self, x: Array) -> Array:
        self.remember(x)
        self.x, self.y = x, xp_of(x).sqrt(self.sum_float32(x * x))
        return self.finished(self.y)

    def backward(self, dout: Array) -> Array:
        xp = xp_of(dout)
        slope = dout.reshape(self.keepdims_shape) / xp.where(self.y == 0, self.y.dtype.type(1), self.y)
        return xp.where(self.y == 0, dout.dtype.type(0), slope * self.x)


class Prod(Reduction):
    """y = prod_i x_i; dx_i = dy times the product of the others, which is right beside zeros too."""

    def forward(self, x: Array) -> Array:
        self.remember(x)
        self.x = x
        y = x.prod(axis=self.axes, keepdims=True)
        return self.finished(y if is_floating(x.dtype) else y.astype(np.int64))

    def backward(self, dout: Array) -> Array:
        xp, x = xp_of(dout), self.x
        if not x.ndim:
            return dout
        remaining = tuple(i for i in range(x.ndim) if i not in self.axes)
        order = (*remaining, *self.axes)
        rows = x.transpose(order).reshape(*(x.shape[i] for i in remaining), self.count)
        before, after = xp.ones_like(rows), xp.ones_like(rows)
        before[..., 1:] = xp.cumprod(rows[..., :-1], axis=-1)
        after[..., :-1] = xp.cumprod(rows[..., :0:-1], axis=-1)[..., ::-1]
        others = (before * after).reshape([x.shape[i] for i in order])
        return self.spread(dout) * others.transpose([order.index(i) for i in range(x.ndim)])


class CumSum(Function):
    """y_i = x_1 + ... + x_i along an axis; dx_i = dy_i + ... + dy_n."""

    compute_in_float32 = True

    def __init__(self, axis: int):
        self.axis = axis

    def forward(self, x: Array) -> Array:
        if not x.ndim:
            return x.copy() if is_floating(x.dtype) else x.astype(np.int64)
        return xp_of(x).cumsum(x, axis=self.axis, dtype=x.dtype if is_floating(x.dtype) else np.int64)

    def backward(self, dout: Array) -> Array:
        xp = xp_of(dout)
        return xp.flip(xp.cumsum(xp.flip(dout, self.axis), axis=self.axis), self.axis) if dout.ndim else dout
