"""Operations that move elements without computing: reshape, transpose, index, join."""

from typing import Any

from dlcourse.autograd.function import Function, unbroadcast, xp_of
from dlcourse.backend.device import Array
from dlcourse.backend.kernels.scatter import scatter_add
from dlcourse.backend.layout import as_stacked_view


class Reshape(Function):
    """y holds x's elements, row by row, in another shape; dx is dy in x's."""

    view = True

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
        return x[self.index]

    def backward(self, dout: Array) -> Array:
        parts = self.index if isinstance(self.index, tuple) else (self.index,)
        if not all(part is None or part is Ellipsis or isinstance(part, int | slice) for part in parts):
            return scatter_add(dout, self.index, self.shape)  # an array of indices may name one element twice
        dx = xp_of(dout).zeros(self.shape, dtype=dout.dtype)
        dx[self.index] = dout
        return dx


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


class Kept(Function):
    """y = x where a mask holds, else 0; dx is dy there, else 0."""

    def __init__(self, mask: Array):
        self.mask = mask

    def forward(self, x: Array) -> Array:
        return xp_of(x).where(self.mask, x, x.dtype.type(0))

    def backward(self, dout: Array) -> Array:
        return xp_of(dout).where(self.mask, dout, dout.dtype.type(0))
