"""A tensor's methods that put its elements elsewhere: rolled, turned, repeated, cut out, taken apart."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dlcourse import backend
from dlcourse.autograd import axes, elementwise, linalg, shape
from dlcourse.autograd.base import apply, array_of
from dlcourse.autograd.reductions import Reductions
from dlcourse.backend import array_module
from dlcourse.errors import ArgumentError, ArgumentTypeError, AxisError, ShapeError

if TYPE_CHECKING:
    from dlcourse.autograd.tensor import Tensor


class Arranging(Reductions):
    """Other arrangements; gradients go back to where the elements came from."""

    __slots__ = ()

    # --- turned -------------------------------------------------------------------------------------------------------

    @axes.also_axis
    def roll(self, shifts: Any, dims: Any = None) -> "Tensor":
        """Moved on by so many places along axes, what leaves at the end comes back in front; without axes all elements
        row by row.

        Raises:
            ArgumentError: there is not one shift for each axis.
        """
        if dims is None:
            return self.reshape(-1).roll(shifts, 0).reshape(self.shape)
        if not self.ndim:
            raise AxisError("roll: a tensor without axes is rolled along none: leave dims out")
        each, along = (tuple(one) if isinstance(one, tuple | list) else (one,) for one in (shifts, dims))
        if len(each) != len(along):
            raise ArgumentError(f"roll: expected one shift for each axis, got {shifts!r} for {dims!r}")
        positions = tuple(axes.single("roll", self.shape, one) for one in along)
        return apply(shape.Roll(each, positions), self)

    def fliplr(self) -> "Tensor":
        """In reverse along the second axis."""
        return self.flip(axes.single("fliplr", self.shape, 1))

    def flipud(self) -> "Tensor":
        """In reverse along the first axis."""
        return self.flip(axes.single("flipud", self.shape, 0) if self.ndim else -2)

    def rot90(self, k: int = 1, dims: Sequence[int] = (0, 1)) -> "Tensor":
        """Turned k times by 90 degrees in the plane of two axes, from the first towards the second.

        Raises:
            AxisError: there are not two different axes.
        """
        planes = {axes.single("rot90", self.shape, one) for one in dims}
        if len(dims) != 2 or len(planes) != 2:
            raise AxisError(f"rot90: expected two different axes of a tensor of shape {self.shape}, got {dims!r}")
        if k % 4 == 0:
            return apply(elementwise.Copy(), self)
        if k % 4 == 2:
            return self.flip(tuple(dims))
        return self.flip(dims[1]).transpose(*dims) if k % 4 == 1 else self.transpose(*dims).flip(dims[1])

    def swapdims(self, dim0: int, dim1: int) -> "Tensor":
        """Two axes swapped."""
        return self.transpose(dim0, dim1)

    @property
    def H(self) -> "Tensor":
        """A matrix transposed (of complex numbers, which are not there, also conjugated)."""
        if self.ndim not in (0, 2):
            raise ShapeError(f"H: expected a matrix, got shape {self.shape}; mH swaps the last two axes")
        return self.transpose()

    @property
    def mH(self) -> "Tensor":
        """The last two axes swapped (of complex numbers, which are not there, also conjugated)."""
        return self.mT

    def adjoint(self) -> "Tensor":
        """As :attr:`mH`."""
        return self.mT

    def ravel(self) -> "Tensor":
        """The elements row by row, as a vector."""
        return self.reshape(-1)

    # --- repeated -----------------------------------------------------------------------------------------------------

    @axes.also_axis
    def repeat_interleave(self, repeats: Any, dim: int | None = None, *, output_size: int | None = None) -> "Tensor":
        """Each element so many times one after the other, along an axis or of all row by row: ``np.repeat``.

        Args:
            repeats: a number, or one for each element along the axis.
            output_size: as in PyTorch; changes nothing.
        Raises:
            ArgumentError: there is not one number for each, or one is negative.
        """
        x: Any = self.reshape(-1) if dim is None or not self.ndim else self
        position = 0 if dim is None else axes.single("repeat_interleave", self.shape, dim)
        length, counts = x.shape[position], backend.to_host(array_of(repeats)).reshape(-1)
        if counts.dtype.kind not in "iu":
            raise ArgumentTypeError(f"repeat_interleave: expected whole numbers, got {counts.dtype}")
        if len(counts) not in (1, length) or (counts < 0).any():
            raise ArgumentError(f"repeat_interleave: expected {length} numbers of at least 0, got {counts.tolist()}")
        return x.index_select(position, np.arange(length).repeat(counts))

    def sum_to_size(self, *size: Any) -> "Tensor":
        """Summed over the axes along which a tensor of that shape would have been broadcast to this one."""
        wanted = tuple(size[0]) if len(size) == 1 and isinstance(size[0], tuple | list) else size
        new = self.ndim - len(wanted)
        if new < 0 or any(n not in (1, m) for n, m in zip(wanted, self.shape[new:], strict=True)):
            raise ShapeError(f"sum_to_size: a tensor of shape {self.shape} is not summed to {wanted}")
        over = (*range(new), *(i + new for i, n in enumerate(wanted) if n == 1))
        return self.sum(over, keepdims=True).reshape(wanted) if over else self.reshape(self.shape)

    # --- cut out ------------------------------------------------------------------------------------------------------

    @axes.also_axis
    def narrow(self, dim: int, start: Any, length: int) -> "Tensor":
        """So many slices along an axis, from one on.

        Raises:
            AxisError: there are not so many.
        """
        position = axes.single("narrow", self.shape, dim)
        if not self.ndim:
            raise ShapeError("narrow: expected a tensor with an axis, got shape ()")
        if getattr(start, "dtype", np.dtype(int)).kind not in "iu":
            raise ArgumentTypeError(f"narrow: the first slice has a whole number, got {start!r}")
        have, start = self.shape[position], int(start)
        first = start + have if start < 0 else start
        if not 0 <= first <= have or length < 0 or first + length > have:
            raise AxisError(f"narrow: {length} slices from {start} on are not there along axis {dim} of {self.shape}")
        return self[(*(slice(None),) * position, slice(first, first + length))]

    @axes.also_axis
    def select(self, dim: int, index: int) -> "Tensor":
        """One slice along an axis, which goes.

        Raises:
            AxisError: it is not there.
        """
        position = axes.single("select", self.shape, dim)
        if not self.ndim or not -self.shape[position] <= index < self.shape[position]:
            raise AxisError(f"select: there is no slice {index} along axis {dim} of a tensor of shape {self.shape}")
        return self[(*(slice(None),) * position, int(index))]

    def unfold(self, dimension: int, size: int, step: int) -> "Tensor":
        """The windows of so many elements along an axis, ``step`` apart, their elements along a new last axis.

        Raises:
            ShapeError: a window is longer than the axis.
        """
        position = axes.single("unfold", self.shape, dimension)
        x = self if self.ndim else self.reshape(1)
        length = x.shape[position]
        if not 0 <= size <= length or step < 1:
            raise ShapeError(f"unfold: expected a size in 0..{length} and a step of at least 1, got {size} and {step}")
        found = apply(shape.Windows(position, size, step), x)
        return found if self.ndim else found.reshape(size)

    @axes.also_axis
    def tensor_split(self, indices_or_sections: Any, dim: int = 0) -> "tuple[Tensor, ...]":
        """So many pieces along an axis, the first ones longer by 1 where it does not go; or cut before these places."""
        position = axes.single("tensor_split", self.shape, dim)
        if not self.ndim:
            raise ShapeError("tensor_split: expected a tensor with an axis, got shape ()")
        given = indices_or_sections.tolist() if hasattr(indices_or_sections, "tolist") else indices_or_sections
        length = self.shape[position]
        if isinstance(given, int):
            if given < 1:
                raise ArgumentError(f"tensor_split: expected at least 1 piece, got {given}")
            small, longer = divmod(length, given)
            ends = [small * i + min(i, longer) for i in range(1, given)]
        else:
            ends = list(given)
        before = (slice(None),) * position
        pairs = zip([None, *ends], [*ends, None], strict=True)
        return tuple(self[(*before, slice(start, end))] for start, end in pairs)

    def hsplit(self, indices_or_sections: Any) -> "tuple[Tensor, ...]":
        """:meth:`tensor_split` along the second axis, of a vector along its only one."""
        return self._split_evenly("hsplit", indices_or_sections, 0 if self.ndim == 1 else 1, 1)

    def vsplit(self, indices_or_sections: Any) -> "tuple[Tensor, ...]":
        """:meth:`tensor_split` along the first axis."""
        return self._split_evenly("vsplit", indices_or_sections, 0, 2)

    def dsplit(self, indices_or_sections: Any) -> "tuple[Tensor, ...]":
        """:meth:`tensor_split` along the third axis."""
        return self._split_evenly("dsplit", indices_or_sections, 2, 3)

    def _split_evenly(self, name: str, given: Any, dim: int, minimum: int) -> "tuple[Tensor, ...]":
        if self.ndim < minimum:
            raise ShapeError(f"{name}: expected a tensor of at least {minimum} axes, got shape {self.shape}")
        if isinstance(given, int) and (given < 1 or self.shape[dim] % given):
            raise ShapeError(f"{name}: {given} equal pieces of an axis of length {self.shape[dim]} are not there")
        return self.tensor_split(given, dim)

    # --- diagonals ----------------------------------------------------------------------------------------------------

    def diag_embed(self, offset: int = 0, dim1: int = -2, dim2: int = -1) -> "Tensor":
        """The elements along the last axis on the diagonals of matrices with zeros elsewhere, on these axes."""
        if not self.ndim:
            raise ShapeError("diag_embed: expected a tensor with an axis, got shape ()")
        whole = (*self.shape, 1)
        first, second = (axes.single("diag_embed", whole, one) for one in (dim1, dim2))
        if first == second:
            raise AxisError(f"diag_embed: expected two different axes, got {dim1} and {dim2}")
        if first > second:
            first, second, offset = second, first, -offset
        xp, width = array_module(self.data), self.shape[-1] + abs(offset)
        flags = xp.eye(width, k=offset, dtype=bool)
        places = xp.clip(xp.arange(width) + min(offset, 0), 0, max(0, self.shape[-1] - 1))
        lead = self.shape[:-1]
        if not self.shape[-1]:
            rows = (self.sum() * 0).expand(*lead, width, 1)
        else:
            rows = self[(..., places)].unsqueeze(-1)
        matrices = apply(shape.Masked(flags), apply(shape.BroadcastTo((*lead, width, width)), rows))
        order = [i for i in range(len(lead))]
        order.insert(first, len(lead))
        order.insert(second, len(lead) + 1)
        return matrices.transpose(tuple(order))

    def diagflat(self, offset: int = 0) -> "Tensor":
        """All elements, row by row, on a diagonal of a matrix with zeros elsewhere."""
        return self.reshape(-1).diag(offset)

    def trace(self) -> "Tensor":
        """The sum of a matrix's diagonal."""
        return apply(linalg.Trace(), self)
