"""Operations that move elements without computing: reshape, transpose, index, join."""

import itertools
from typing import Any

import numpy as np

from dlcourse.autograd.function import Function, unbroadcast, xp_of
from dlcourse.autograd.replicas import ReplicaArray, Rule
from dlcourse.backend.device import Array
from dlcourse.backend.kernels.scatter import scatter_add, scatter_join
from dlcourse.backend.layout import as_stacked_view
from dlcourse.backend.precision import is_floating
from dlcourse.errors import ShapeError


class ReshapeRule(Rule):
    """:class:`Reshape` behind the axis of the replicas."""

    def forward(self, x: ReplicaArray) -> Array:
        self.source = x.values.shape
        return x.values.reshape(len(x.values), *self.function.shape)

    def backward(self, dout: Array) -> Array:
        return dout.reshape(self.source)


class Reshape(Function):
    """y holds x's elements, row by row, in another shape; dx is dy in x's."""

    view = True
    replica_rule = ReshapeRule

    def __init__(self, shape: tuple[int, ...]):
        self.shape = shape

    def forward(self, x: Array) -> Array:
        self.source = x.shape
        return x.reshape(self.shape)

    def backward(self, dout: Array) -> Array:
        return dout.reshape(self.source)


class Transpose(Function):
    """y has x's axes in another order (reversed without one); dx puts them back."""

    view = True

    def __init__(self, axes: tuple[int, ...] | None = None):
        self.axes = axes

    def forward(self, x: Array) -> Array:
        return x.transpose(self.axes)

    def backward(self, dout: Array) -> Array:
        if self.axes is None:
            return dout.transpose()
        inverse = [0] * len(self.axes)
        for position, axis in enumerate(self.axes):
            inverse[axis] = position
        return dout.transpose(inverse)


class GetItem(Function):
    """y = x[index], slices or arrays of indices; dx sums dy at the positions it came from."""

    view = True

    def __init__(self, index: Any):
        self.index = index

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        y = x[self.index]
        if isinstance(y, np.generic):  # NumPy copies one element unless asked for a view
            y = x[(*(self.index if isinstance(self.index, tuple) else (self.index,)), ...)]
        return y

    def backward(self, dout: Array) -> Array:
        parts = self.index if isinstance(self.index, tuple) else (self.index,)
        if not all(part is None or part is Ellipsis or isinstance(part, int | slice) for part in parts):
            return scatter_add(dout, self.index, self.shape)  # an array of indices may name one element twice
        dx = xp_of(dout).zeros(self.shape, dtype=dout.dtype)
        dx[self.index] = dout
        return dx


class Windows(Function):
    """y[.., i, .., k] = x[.., i step + k, ..]: windows along an axis, each along a new last axis; dx sums dy at the
    places it came from."""

    compute_in_float32 = True

    def __init__(self, axis: int, size: int, step: int):
        self.axis, self.size, self.step = axis, size, step

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        shape, strides = [*x.shape, self.size], [*x.strides, x.strides[self.axis]]
        shape[self.axis] = (x.shape[self.axis] - self.size) // self.step + 1
        strides[self.axis] *= self.step
        return xp_of(x).lib.stride_tricks.as_strided(x, shape, strides).copy()

    def backward(self, dout: Array) -> Array:
        dx = xp_of(dout).zeros(self.shape, dtype=dout.dtype)
        reach = (dout.shape[self.axis] - 1) * self.step + 1
        for k in range(self.size):
            dx[(*(slice(None),) * self.axis, slice(k, k + reach, self.step))] += dout[..., k]
        return dx


class SetItem(Function):
    """y = x but for y[index] = v; dx = dy but for 0 there, dv = dy[index], summed over what was broadcast.

    Args:
        in_place: x's own memory becomes y.
        whole: v has the shape of what it replaces.
    """

    def __init__(self, index: Any, in_place: bool = False, whole: bool = False):
        self.index, self.in_place, self.whole = index, in_place, whole

    def forward(self, x: Array, v: Array) -> Array:
        self.shape = v.shape
        if self.whole and x[self.index].shape != v.shape:
            raise ShapeError(f"expected values of shape {x[self.index].shape}, got {v.shape}")
        y = x if self.in_place else x.copy()
        y[self.index] = v
        return y

    def backward(self, dout: Array) -> tuple:
        dx = dv = None
        if self.needs_input_grad[0]:
            dx = dout.copy()
            dx[self.index] = 0
        if self.needs_input_grad[1]:
            dv = _gathered(dout, self.index, self.shape)
        return dx, dv


class JoinItem(Function):
    """y = x with the values at flat places joined to what is there: their product, the largest or the smallest.

    Of products dx = dy y / x and dv = dy y / v, written without the factor that is 0; an extreme's gradient is shared
    by all that are equal to it.

    Args:
        places: (M,), of the elements counted row by row.
        join: "multiply", "maximum" or "minimum".
        included: whether x is joined too, at places where a value comes.
    """

    compute_in_float32 = True

    def __init__(self, places: Array, join: str, included: bool):
        self.places, self.join, self.included = places, join, included

    def forward(self, x: Array, values: Array) -> Array:
        self.x, self.values = x, values
        self.y = self._joined(x, values)
        return self.y

    def _joined(self, x: Array, values: Array) -> Array:
        start = x.reshape(-1)
        if not self.included:
            start = start.copy()
            start[self.places] = _neutral(self.join, x.dtype)
        return scatter_join(start, self.places, values.reshape(-1), self.join).reshape(x.shape)

    def backward(self, dout: Array) -> tuple:
        dx, dvalues = self._of_product(dout) if self.join == "multiply" else self._of_extreme(dout)
        if self.included:
            return dx, dvalues
        flat = xp_of(dout).asarray(dx).reshape(-1)
        flat[self.places] = 0
        return flat.reshape(self.x.shape), dvalues

    def _of_product(self, dout: Array) -> tuple[Array, Array]:
        xp, x, values, dy = xp_of(dout), self.x, self.values, dout.reshape(-1)[self.places].reshape(self.values.shape)
        nonzero = xp.where(x == 0, 1, x).astype(x.dtype)
        dx = dout * self._joined(nonzero, values) / nonzero
        zeros = scatter_add((values == 0).astype(dout.dtype).reshape(-1), self.places, (x.size,))
        alone = (values == 0) & (zeros[self.places].reshape(values.shape) == 1)
        others = self._joined(x, xp.where(alone, 1, values).astype(x.dtype)).reshape(-1)[self.places]
        nonzero = xp.where(values == 0, 1, values).astype(x.dtype)
        whole = self.y.reshape(-1)[self.places].reshape(values.shape) / nonzero
        return dx, dy * xp.where(alone, others.reshape(values.shape), whole)

    def _of_extreme(self, dout: Array) -> tuple[Array, Array]:
        own, y = self.x.reshape(-1) == self.y.reshape(-1), self.y.reshape(-1)
        if not self.included:
            own[self.places] = False
        reached = self.values.reshape(-1) == y[self.places]
        count = own + scatter_add(reached.astype(dout.dtype), self.places, y.shape)
        share = dout.reshape(-1) / xp_of(dout).maximum(count, 1)
        return (share * own).reshape(self.x.shape), (share[self.places] * reached).reshape(self.values.shape)


def _neutral(join: str, dtype: Any) -> Any:
    """What changes nothing by being joined."""
    if join == "multiply":
        return 1
    low, high = (-np.inf, np.inf) if is_floating(dtype) else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return low if join == "maximum" else high


class AddItem(Function):
    """y = x with v added at y[index], all that comes to one place in turn; dx = dy, dv = dy[index]."""

    def __init__(self, index: Any):
        self.index = index

    def forward(self, x: Array, v: Array) -> Array:
        self.shape = v.shape
        xp = xp_of(x)
        if is_floating(x.dtype):
            return x + scatter_add(xp.broadcast_to(v, x[self.index].shape), self.index, x.shape)
        # As words without sign, which CuPy adds at places and which wrap to the same bits.
        y = x.astype(np.int64)
        xp.add.at(y.view(np.uint64), self.index, v.astype(np.int64).view(np.uint64))
        return y.astype(x.dtype)

    def backward(self, dout: Array) -> tuple:
        return dout, _gathered(dout, self.index, self.shape) if self.needs_input_grad[1] else None


def _gathered(dout: Array, index: Any, shape: tuple[int, ...]) -> Array:
    """The gradient of what was broadcast to the places of an index."""
    found = dout[index]
    surplus = max(0, len(shape) - found.ndim)  # axes of length 1 in front
    return unbroadcast(found, shape[surplus:]).reshape(shape)


class Roll(Function):
    """y is x moved on by so many places along axes, around the end; dx is dy moved back."""

    def __init__(self, shifts: tuple[int, ...], axes: tuple[int, ...]):
        self.shifts, self.axes = shifts, axes

    def forward(self, x: Array) -> Array:
        return xp_of(x).roll(x, self.shifts, self.axes) if self.axes and x.size else x.copy()

    def backward(self, dout: Array) -> Array:
        back = tuple(-shift for shift in self.shifts)
        return xp_of(dout).roll(dout, back, self.axes) if self.axes and dout.size else dout


class Concatenate(Function):
    """y joins the inputs along an existing axis; each gets its own slice of dy."""

    def __init__(self, axis: int = 0):
        self.axis = axis

    def forward(self, *inputs: Array) -> Array:
        joined = xp_of(*inputs).concatenate(inputs, axis=self.axis)
        self.sizes = [x.shape[self.axis] for x in inputs]
        return joined

    def backward(self, dout: Array) -> tuple:
        ends = [sum(self.sizes[: i + 1]) for i in range(len(self.sizes) - 1)]
        return tuple(xp_of(dout).split(dout, ends, axis=self.axis))


class Stack(Function):
    """y joins the inputs along a new axis; each gets its own slice of dy."""

    def __init__(self, axis: int = 0):
        self.axis = axis

    def forward(self, *inputs: Array) -> Array:
        return xp_of(*inputs).stack(inputs, axis=self.axis)

    def backward(self, dout: Array) -> tuple:
        return tuple(xp_of(dout).moveaxis(dout, self.axis, 0))


class Unbind(Function):
    """y_0, y_1, ... are the slices of x along its first axis; dx joins their gradients."""

    view = True

    def forward(self, x: Array) -> tuple:
        self.shape, self.dtype = x.shape, x.dtype
        return tuple(x)

    def backward(self, *douts: Array | None) -> Array:
        joined = as_stacked_view(douts)  # attention's gradients come so
        if joined is not None:
            return joined
        xp = xp_of(*(dout for dout in douts if dout is not None))
        dx = xp.empty(self.shape, dtype=self.dtype)
        for position, dout in enumerate(douts):
            dx[position] = 0 if dout is None else dout
        return dx


class Split(Function):
    """y_0, y_1, ... are pieces of x, of these lengths along an axis; dx joins their gradients."""

    view = True

    def __init__(self, sizes: list[int], axis: int):
        self.sizes, self.axis = sizes, axis

    def forward(self, x: Array) -> tuple:
        self.shape, self.dtype = x.shape, x.dtype
        return tuple(x[place] for place in self._places())

    def _places(self) -> list[tuple]:
        before, ends = (slice(None),) * self.axis, list(itertools.accumulate(self.sizes))
        return [(*before, slice(end - size, end)) for size, end in zip(self.sizes, ends, strict=True)]

    def backward(self, *douts: Array | None) -> Array:
        xp = xp_of(*(dout for dout in douts if dout is not None))
        dx = xp.empty(self.shape, dtype=self.dtype)
        for place, dout in zip(self._places(), douts, strict=True):
            dx[place] = 0 if dout is None else dout
        return dx


class BroadcastTo(Function):
    """y repeats x to a larger shape as NumPy broadcasts; dx sums dy over what was repeated."""

    view = True

    def __init__(self, shape: tuple[int, ...]):
        self.shape = shape

    def forward(self, x: Array) -> Array:
        self.source = x.shape
        return xp_of(x).broadcast_to(x, self.shape)

    def backward(self, dout: Array) -> Array:
        return unbroadcast(dout, self.source)


class Masked(Function):
    """y = x where a mask holds, else 0; dx is dy there, else 0."""

    def __init__(self, mask: Array):
        self.mask = mask

    def forward(self, x: Array) -> Array:
        return xp_of(x).where(self.mask, x, x.dtype.type(0))

    def backward(self, dout: Array) -> Array:
        return xp_of(dout).where(self.mask, dout, dout.dtype.type(0))
