"""A tensor's methods that move its elements to other shapes and places, by PyTorch's names."""

import math
from typing import TYPE_CHECKING, Any

from dlcourse.autograd import axes, shape
from dlcourse.autograd.base import TensorBase, apply
from dlcourse.backend import array_module
from dlcourse.errors import ArgumentError, AxisError, ShapeError

if TYPE_CHECKING:
    from dlcourse.autograd.tensor import Tensor


class Shaping(TensorBase):
    """Other shapes; a result may share the tensor's memory, as in PyTorch."""

    __slots__ = ()

    if TYPE_CHECKING:

        def __getitem__(self, index: Any) -> "Tensor": ...

    def reshape(self, *new_shape: Any) -> "Tensor":
        """The elements, row by row, in another shape; one length may be -1."""
        return apply(shape.Reshape(_flat_arguments(new_shape)), self)

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> "Tensor":
        """The axes from ``start_dim`` to ``end_dim``, both included, as one.

        Raises:
            ShapeError: there is no such axis, or the first comes after the last.
        """
        first, last = (axes.single("flatten", self.shape, one) for one in (start_dim, end_dim))
        if first > last:
            raise ShapeError(f"flatten: the first axis comes after the last, got {start_dim} and {end_dim}")
        length = math.prod(self.shape[first : last + 1])
        return self.reshape(*self.shape[:first], length, *self.shape[last + 1 :])

    def transpose(self, *order: Any) -> "Tensor":
        """Two axes swapped, as ``torch.transpose``; or all in the order that is given, reversed without one.

        Args:
            order: two whole numbers swap these axes, of a tensor of any shape; three or more, or a tuple, name all axes
                in their new order, as in NumPy. A tuple of two is the order of a matrix's axes: ``(0, 1)`` changes
                nothing.
        Raises:
            AxisError: an axis is not there or named twice, or an order does not name all.
        """
        if len(order) == 2 and not isinstance(order[0], tuple | list):
            first, second = (axes.single("transpose", self.shape, axis) for axis in order)
            positions = list(range(self.ndim))
            if positions:
                positions[first], positions[second] = second, first
            return apply(shape.Transpose(tuple(positions)), self)
        return apply(shape.Transpose(axes.order("transpose", self.shape, _flat_arguments(order))), self)

    @property
    def T(self) -> "Tensor":
        """The axes in reverse."""
        return self.transpose()

    def view(self, *new_shape: Any) -> "Tensor":
        """As :meth:`reshape`: where the elements do not lie so that a view is possible, they are copied."""
        return self.reshape(*new_shape)

    def view_as(self, other: TensorBase) -> "Tensor":
        """The elements in another tensor's shape."""
        return self.reshape(other.shape)

    def reshape_as(self, other: TensorBase) -> "Tensor":
        """The elements in another tensor's shape."""
        return self.reshape(other.shape)

    @axes.also_axis
    def unsqueeze(self, dim: int) -> "Tensor":
        """With a new axis of length 1 at ``dim``, -1 for the end."""
        position = axes.single("unsqueeze", (1, *self.shape), dim)
        return self.reshape((*self.shape[:position], 1, *self.shape[position:]))

    @axes.also_axis
    def squeeze(self, dim: axes.Several = None) -> "Tensor":
        """Without the axes of length 1, all of them or those named; one that is longer stays, as in PyTorch."""
        named = axes.several("squeeze", self.shape, None, dim)
        over: Any = (named,) if isinstance(named, int) else named
        if named is None:
            over = range(self.ndim) if dim is None else ()
        return self.reshape(tuple(size for i, size in enumerate(self.shape) if i not in over or size != 1))

    @axes.also_axis
    def unflatten(self, dim: int, sizes: Any) -> "Tensor":
        """With one axis in several of these lengths, one of which may be -1."""
        position = axes.single("unflatten", self.shape, dim)
        known = math.prod(size for size in sizes if size != -1)
        lengths = tuple(self.shape[position] // max(known, 1) if size == -1 else size for size in sizes)
        if math.prod(lengths) != self.shape[position]:
            raise ShapeError(f"unflatten: an axis of length {self.shape[position]} does not go into {tuple(sizes)}")
        return self.reshape((*self.shape[:position], *lengths, *self.shape[position + 1 :]))

    def permute(self, *order: Any, dims: Any = None) -> "Tensor":
        """All axes in a new order: ``permute(2, 0, 1)``, ``permute((2, 0, 1))`` or ``permute(dims=(2, 0, 1))``."""
        order = order if dims is None else tuple(dims)
        order = tuple(order[0]) if len(order) == 1 and isinstance(order[0], tuple | list) else order
        if len(order) != self.ndim:
            raise AxisError(f"permute: expected all {self.ndim} axes of a tensor of shape {self.shape}, got {order}")
        return self.transpose(tuple(order)) if self.ndim else self.reshape(())

    def swapaxes(self, axis0: int, axis1: int) -> "Tensor":
        """Two axes swapped."""
        return self.transpose(axis0, axis1)

    def movedim(self, source: Any, destination: Any) -> "Tensor":
        """An axis elsewhere, or several in two tuples; the others in their order.

        Raises:
            AxisError: an axis is not there or named twice, or there is not one place for each.
        """
        starts, ends = (
            [axes.single("movedim", self.shape, axis) for axis in (one if isinstance(one, tuple | list) else (one,))]
            for one in (source, destination)
        )
        if len({*starts}) != len(starts) or len({*ends}) != len(ends) or len(starts) != len(ends):
            raise AxisError(f"movedim: expected a place for each axis, got {source!r} and {destination!r}")
        order = [position for position in range(self.ndim) if position not in starts]
        for end, start in sorted(zip(ends, starts, strict=True)):
            order.insert(end, start)
        return self.transpose(tuple(order)) if self.ndim else self.reshape(())

    moveaxis = movedim

    def t(self) -> "Tensor":
        """A matrix transposed; a vector or a number as it is.

        Raises:
            ShapeError: it has more than two axes.
        """
        if self.ndim > 2:
            raise ShapeError(f"t: expected at most two axes, got shape {self.shape}; transpose(0, 1) swaps two of more")
        return self.transpose(0, 1) if self.ndim == 2 else self.reshape(self.shape)

    @property
    def mT(self) -> "Tensor":
        """The last two axes swapped."""
        if self.ndim < 2:
            raise ShapeError(f"mT: expected matrices, got shape {self.shape}")
        return self.transpose(-2, -1)

    def expand(self, *sizes: Any) -> "Tensor":
        """Repeated along axes of length 1 without a copy, and along new axes before the others; -1 keeps a length.

        Raises:
            ShapeError: it cannot be.
        """
        wanted = sizes[0] if len(sizes) == 1 and isinstance(sizes[0], tuple | list) else sizes
        new = len(wanted) - self.ndim
        if new < 0 or -1 in wanted[:new]:
            raise ShapeError(f"expand: a tensor of shape {self.shape} does not go to {tuple(wanted)}")
        full = tuple(self.shape[i - new] if size == -1 else size for i, size in enumerate(wanted))
        return apply(shape.BroadcastTo(full), self)

    def broadcast_to(self, size: Any) -> "Tensor":
        """Repeated to a larger shape, as NumPy broadcasts."""
        return self.expand(tuple(size))

    def expand_as(self, other: TensorBase) -> "Tensor":
        """Repeated to another tensor's shape."""
        return self.expand(other.shape)

    def repeat(self, *repeats: Any) -> "Tensor":
        """Copied so many times along each axis, with new axes before the others, as ``np.tile``.

        Raises:
            ShapeError: there is no number for an axis. (``np.repeat`` repeats each element, and is another thing.)
        """
        times = repeats[0] if len(repeats) == 1 and isinstance(repeats[0], tuple | list) else repeats
        new = len(times) - self.ndim
        if new < 0:
            raise ShapeError(f"repeat: expected a number for each axis of shape {self.shape}, got {tuple(times)}")
        if any(count < 0 for count in times):
            raise ArgumentError(f"repeat: expected numbers of at least 0, got {tuple(times)}")
        lengths = (1,) * new + self.shape
        apart = self.reshape(tuple(length for size in lengths for length in (1, size)))
        spread = tuple(length for pair in zip(times, lengths, strict=True) for length in pair)
        wide = apply(shape.BroadcastTo(spread), apart)
        return wide.reshape(tuple(count * size for count, size in zip(times, lengths, strict=True)))

    def tile(self, *repeats: Any) -> "Tensor":
        """As :meth:`repeat`; numbers that are missing in front are 1."""
        times = repeats[0] if len(repeats) == 1 and isinstance(repeats[0], tuple | list) else repeats
        return self.repeat((1,) * (self.ndim - len(times)) + tuple(times))

    @axes.also_axis
    def flip(self, *axis: Any, dims: Any = None) -> "Tensor":
        """In reverse along these axes."""
        axis = axis if dims is None else (dims,)
        chosen = axis[0] if len(axis) == 1 and isinstance(axis[0], tuple | list) else axis
        positions = {axes.single("flip", self.shape, one) for one in chosen}
        if len(positions) < len(chosen):
            raise AxisError(f"flip: an axis is named twice in {tuple(chosen)}")
        if not self.ndim:
            return self.reshape(())
        return self[tuple(slice(None, None, -1 if i in positions else 1) for i in range(self.ndim))]

    @axes.also_axis
    def split(self, split_size: Any, dim: int = 0) -> "tuple[Tensor, ...]":
        """Pieces of so many rows along an axis, the last with what is left; or of the lengths in a list.

        Raises:
            ShapeError: the lengths do not add up.
        """
        position = axes.single("split", self.shape, dim)
        if not self.ndim:
            raise ShapeError("split: expected a tensor with an axis, got shape ()")
        length = self.shape[position]
        if isinstance(split_size, int):
            if split_size < 1:
                raise ArgumentError(f"split: expected pieces of at least 1, got {split_size}")
            sizes = [min(split_size, length - start) for start in range(0, length, split_size)] or [0]
        else:
            sizes = list(split_size)
            if sum(sizes) != length or any(size < 0 for size in sizes):
                raise ShapeError(f"split: lengths {sizes} of an axis of length {length}")
        return apply(shape.Split(sizes, position), self)

    split_with_sizes = split

    @axes.also_axis
    def chunk(self, chunks: int, dim: int = 0) -> "tuple[Tensor, ...]":
        """About so many pieces of equal length along an axis, the last may be shorter."""
        position = axes.single("chunk", self.shape, dim)
        if not self.ndim or chunks < 1:
            raise ShapeError(f"chunk: expected a tensor with an axis and at least 1 piece, got {self.shape}, {chunks}")
        return self.split(max(1, -(-self.shape[position] // chunks)), dim)

    @axes.also_axis
    def unbind(self, dim: int = 0) -> "tuple[Tensor, ...]":
        """The slices along an axis, which goes."""
        position = axes.single("unbind", self.shape, dim)
        if not self.ndim:
            raise ShapeError("unbind: expected a tensor with an axis, got shape ()")
        if not self.shape[position]:
            return ()
        return apply(shape.Unbind(), self.movedim(position, 0) if position else self)

    def tril(self, diagonal: int = 0) -> "Tensor":
        """Matrices with zeros above the diagonal, or above the one ``diagonal`` places to its right."""
        return self._masked("tril", diagonal)

    def triu(self, diagonal: int = 0) -> "Tensor":
        """Matrices with zeros below the diagonal, or below the one ``diagonal`` places to its right."""
        return self._masked("triu", diagonal)

    def _masked(self, name: str, diagonal: int) -> "Tensor":
        if self.ndim < 2:
            raise ShapeError(f"{name}: expected matrices, got shape {self.shape}")
        ones = getattr(array_module(self.data), name)(array_module(self.data).ones(self.shape[-2:], bool), diagonal)
        return apply(shape.Masked(ones), self)

    def diagonal(self, offset: int = 0, dim1: int = 0, dim2: int = 1) -> "Tensor":
        """The elements whose places along two axes differ by ``offset``, as the last axis."""
        first, second = (axes.single("diagonal", self.shape, one) for one in (dim1, dim2))
        if first == second:
            raise AxisError(f"diagonal: expected two axes of a tensor of shape {self.shape}, got {dim1} and {dim2}")
        xp = array_module(self.data)
        order = tuple(i for i in range(self.ndim) if i not in (first, second))
        turned = self.transpose((first, second, *order))
        count = max(0, min(self.shape[first] + min(offset, 0), self.shape[second] - max(offset, 0)))
        rows = xp.arange(count) - min(offset, 0)
        picked = turned[rows, xp.arange(count) + max(offset, 0)]
        return picked.transpose((*range(1, picked.ndim), 0))

    def diag(self, diagonal: int = 0) -> "Tensor":
        """A matrix's diagonal; of a vector the matrix that has it there, with zeros elsewhere."""
        if self.ndim == 2:
            return self.diagonal(diagonal)
        if self.ndim != 1:
            raise ShapeError(f"diag: expected a vector or a matrix, got shape {self.shape}")
        xp, width = array_module(self.data), len(self.data) + abs(diagonal)
        ones = xp.eye(width, k=diagonal, dtype=bool)
        places = xp.clip(xp.arange(width) + min(diagonal, 0), 0, max(0, len(self.data) - 1))
        rows = self[places].reshape(width, 1) if len(self.data) else self.reshape(0, 1).sum() * ones
        return apply(shape.Masked(ones), apply(shape.BroadcastTo((width, width)), rows))


def _flat_arguments(arguments: tuple) -> tuple[int, ...]:
    """``f(2, 3)`` and ``f((2, 3))`` alike."""
    if len(arguments) == 1 and isinstance(arguments[0], tuple | list):
        return tuple(arguments[0])
    return arguments
