"""A tensor's methods that choose, order and replace elements, by PyTorch's names."""

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dlcourse import backend
from dlcourse.autograd import axes, elementwise, promotion, shape
from dlcourse.autograd.base import TensorBase, apply, array_of, new, without_gradient
from dlcourse.autograd.creation import as_tensor, paired_tensors
from dlcourse.autograd.shaping import Shaping
from dlcourse.errors import ArgumentError, ArgumentTypeError, AxisError, ShapeError

if TYPE_CHECKING:
    from dlcourse.autograd.tensor import Tensor


class Ordered(NamedTuple):
    """Elements in order along an axis, and where they were, as PyTorch's ``sort`` and ``topk`` give them."""

    values: TensorBase
    indices: TensorBase


_PARTED_ABOVE = 16
"""Of so many times k elements topk sorts the k largest alone: rows of 1000 and k = 5 in 9 ms instead of 89."""


class Selection(Shaping):
    """Choice of elements; gradients go to those that were chosen."""

    __slots__ = ()

    @axes.also_axis
    def gather(self, dim: int, index: Any) -> "Tensor":
        """y[i][j] = x[index[i][j]][j] along ``dim`` = 0, and so on: of the shape of ``index``.

        Raises:
            ShapeError: the index has another number of axes, is longer along another axis, or holds no whole numbers.
        """
        position = axes.single("gather", self.shape, dim)
        found = self._whole("gather", index)
        if found.ndim != self.ndim:
            raise ShapeError(f"gather: expected an index with {self.ndim} axes, got shape {found.shape}")
        if any(i != position and n > self.shape[i] for i, n in enumerate(found.shape)):
            raise ShapeError(f"gather: an index of shape {found.shape} is longer than a tensor of shape {self.shape}")
        return self._along(self._inside("gather", found, position), position)

    @axes.also_axis
    def take_along_dim(self, indices: Any, dim: int | None = None) -> "Tensor":
        """As ``np.take_along_axis``: the index broadcasts along the other axes; without ``dim`` of all elements."""
        found = self._whole("take_along_dim", indices)
        if dim is None:
            return self.reshape(-1)[found.reshape(-1)]
        position = axes.single("take_along_dim", self.shape, dim)
        if found.ndim != self.ndim:
            raise ShapeError(f"take_along_dim: expected an index with {self.ndim} axes, got shape {found.shape}")
        xp = backend.array_module(found)
        sides = [1 if i == position else n for i, n in enumerate(self.shape)]
        found = self._inside("take_along_dim", found, position)
        wide = np.broadcast_shapes(tuple(sides), found.shape)
        other = tuple(n if i == position else wide[i] for i, n in enumerate(self.shape))
        source = apply(shape.BroadcastTo(other), self) if other != self.shape else self
        return source._along(xp.broadcast_to(found, wide), position)

    def _along(self, index: Any, position: int) -> "Tensor":
        if not self.ndim:
            return self.reshape(1)[index.reshape(-1)].reshape(())
        return self[self._grids(index, position)]

    def _grids(self, index: Any, position: int) -> tuple:
        """The places of all elements of an index along an axis, as an index of the whole."""
        xp = backend.array_module(index)
        grids: list[Any] = []
        for i, length in enumerate(index.shape):
            sides = [1] * index.ndim
            sides[i] = length
            grids.append(index if i == position else xp.arange(length).reshape(sides))
        return tuple(grids)

    @axes.also_axis
    def index_select(self, dim: int, index: Any) -> "Tensor":
        """The rows of these numbers along an axis."""
        position = axes.single("index_select", self.shape, dim)
        found = self._whole("index_select", index)
        if found.ndim > 1:
            raise ShapeError(f"index_select: expected a vector of row numbers, got shape {found.shape}")
        found = self._inside("index_select", found, position)
        if not self.ndim:
            return self.reshape(1)[found.reshape(-1)].reshape(())
        return self[(*(slice(None),) * position, found if found.ndim else found.reshape(1))]

    def masked_select(self, mask: Any) -> "Tensor":
        """The elements where a mask that broadcasts holds, as a vector."""
        flags = self._flags("masked_select", mask)
        wide = np.broadcast_shapes(self.shape, flags.shape)
        source = apply(shape.BroadcastTo(wide), self) if wide != self.shape else self
        xp = backend.array_module(flags)
        return source.reshape(-1)[xp.flatnonzero(xp.broadcast_to(flags, wide))]

    def masked_fill(self, mask: Any, value: Any) -> "Tensor":
        """This number where a mask that broadcasts holds, else the element; what was replaced gets no gradient."""
        flags = self._flags("masked_fill", mask)
        if np.broadcast_shapes(self.shape, flags.shape) != self.shape:
            raise ShapeError(f"masked_fill: a mask of shape {flags.shape} does not go with a tensor of {self.shape}")
        return apply(elementwise.Where(flags), self._number("masked_fill", value), self)

    def where(self, condition: Any, other: Any) -> "Tensor":
        """The element where the condition holds, else that of ``other``: ``F.where(condition, x, other)``."""
        return apply(elementwise.Where(self._flags("where", condition)), *paired_tensors(self, other))

    def _number(self, name: str, value: Any) -> Any:
        number = array_of(value)
        if getattr(number, "ndim", 0):
            raise ShapeError(f"{name}: expected one number, got shape {number.shape}")
        if hasattr(number, "dtype"):
            return value.to(dtype=self.dtype) if isinstance(value, TensorBase) else number.astype(self.dtype)
        if not isinstance(number, int | float):
            raise ArgumentTypeError(f"{name}: expected a number, got {number!r}")
        if promotion.beside_number(self.dtype, number) != self.dtype:
            raise ArgumentTypeError(
                f"{name}: {number!r} does not go into a tensor of {self.dtype}; see x.to(dtype=...)"
            )
        return as_tensor(number, like=self)

    # --- in order -----------------------------------------------------------------------------------------------------

    @axes.also_axis
    def argsort(self, dim: int = -1, descending: bool = False, *, stable: bool = False) -> "Tensor":
        """The places of the elements in order along an axis, equal ones in theirs; without a gradient."""
        return new(self._order("argsort", dim, descending))

    @axes.also_axis
    def sort(self, dim: int = -1, descending: bool = False, *, stable: bool = False) -> Any:
        """The elements in order along an axis, and their places: ``values, indices = x.sort()``."""
        order = self._order("sort", dim, descending)
        return Ordered(self._along(order, axes.single("sort", self.shape, dim)), new(order))

    def msort(self) -> "Tensor":
        """The elements in order along the first axis."""
        return self.sort(0).values

    @axes.also_axis
    def topk(self, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
        """The k largest (or smallest) elements along an axis, in order, and their places.

        Raises:
            ArgumentError: there are not so many.
        """
        position = axes.single("topk", self.shape, dim)
        length = self.shape[position] if self.ndim else 1
        if not 0 <= k <= length:
            raise ArgumentError(f"topk: expected k in 0..{length}, the length of the axis, got {k}")
        if 0 < _PARTED_ABOVE * k <= length:
            found = self._parted(position, length - k if largest else k - 1)
            part = slice(length - k, None) if largest else slice(k)
            found = found[(*(slice(None),) * position, part)]
            xp = backend.array_module(found)
            among = new(xp.take_along_axis(self.data, found, position))._order("topk", position, largest)
            first = xp.take_along_axis(found, among, position)
        else:
            order = self._order("topk", dim, largest)
            first = order[(*(slice(None),) * position, slice(k))] if self.ndim else order
        return Ordered(self._along(first, position), new(first))

    def _parted(self, position: int, k: int) -> Any:
        """The places of the elements along an axis, of those before the k-th smallest first; NaN is larger than all."""
        return backend.array_module(self.data).argpartition(self.data, k, axis=position)

    def _order(self, name: str, dim: int, descending: bool) -> Any:
        position = axes.single(name, self.shape, dim)
        xp = backend.array_module(self.data)
        if not self.ndim:
            return xp.zeros((), dtype=np.int64)
        if not descending:
            return xp.argsort(self.data, axis=position, kind="stable")
        backwards = xp.argsort(xp.flip(self.data, position), axis=position, kind="stable")
        return self.shape[position] - 1 - xp.flip(backwards, position)

    # --- without a gradient -------------------------------------------------------------------------------------------

    def all(self, dim: axes.Several = None, keepdim: bool = False, *, axis: axes.Several = None,
            keepdims: bool = False) -> "Tensor":  # fmt: skip
        """Whether all elements, or all along these axes, are true or not 0."""
        return self._whether("all", axis, dim, bool(keepdim or keepdims))

    def any(self, dim: axes.Several = None, keepdim: bool = False, *, axis: axes.Several = None,
            keepdims: bool = False) -> "Tensor":  # fmt: skip
        """Whether any element, or any along these axes, is true or not 0."""
        return self._whether("any", axis, dim, bool(keepdim or keepdims))

    def _whether(self, name: str, axis: axes.Several, dim: axes.Several, keepdims: bool) -> "Tensor":
        over = axes.several(name, self.shape, axis, dim)
        found = getattr(self.data.astype(bool), name)(axis=over, keepdims=keepdims)
        return without_gradient(name, found, self, axis=over, keepdims=keepdims)

    def isnan(self) -> "Tensor":
        """Whether each element is not a number."""
        return without_gradient("isnan", self.data != self.data, self)

    def isinf(self) -> "Tensor":
        """Whether each element is infinite."""
        return without_gradient("isinf", backend.array_module(self.data).isinf(self.data), self)

    def isfinite(self) -> "Tensor":
        """Whether each element is neither infinite nor NaN."""
        return without_gradient("isfinite", backend.array_module(self.data).isfinite(self.data), self)

    def isposinf(self) -> "Tensor":
        """Whether each element is +infinity."""
        return without_gradient("eq", self.data == math.inf, self, math.inf)

    def isneginf(self) -> "Tensor":
        """Whether each element is -infinity."""
        return without_gradient("eq", self.data == -math.inf, self, -math.inf)

    def signbit(self) -> "Tensor":
        """Whether each element has a minus sign, also -0."""
        xp = backend.array_module(self.data)
        return new(xp.signbit(self.data) if self.dtype.kind == "f" else self.data < 0)

    def argwhere(self) -> "Tensor":
        """Where the elements are that are not 0, (n, ndim)."""
        return self.nonzero()

    def nonzero(self, *, as_tuple: bool = False) -> Any:
        """Where the elements are that are not 0: (n, ndim), or a tensor an axis."""
        found = self.data.reshape(1).nonzero() if not self.ndim else self.data.nonzero()
        if as_tuple:
            return tuple(new(one) for one in found)
        xp = backend.array_module(self.data)
        return new(xp.stack(found, axis=1) if self.ndim else xp.zeros((len(found[0]), 0), np.int64))

    @axes.also_axis
    def unique(self, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False,
               dim: int | None = None) -> Any:  # fmt: skip
        """The different elements in order, as a vector, or along an axis its different slices; on request where each is
        among them, and how often it was there."""
        axis = None if dim is None else axes.single("unique", self.shape, dim)
        found = backend.array_module(self.data).unique(
            self.data, return_inverse=return_inverse, return_counts=return_counts, axis=axis if self.ndim else None
        )
        if not isinstance(found, tuple):
            return new(found)
        several = list(found)
        if return_inverse:
            several[1] = several[1].reshape(self.shape if axis is None else -1)
        return tuple(new(one) for one in several)

    @axes.also_axis
    def unique_consecutive(self, return_inverse: bool = False, return_counts: bool = False,
                           dim: int | None = None) -> Any:  # fmt: skip
        """Of each run of equal elements, row by row, or of equal slices along an axis, one; on request the run of each,
        and how long each is."""
        xp = backend.array_module(self.data)
        axis = 0 if dim is None else axes.single("unique_consecutive", self.shape, dim)
        x = self.data.reshape(-1) if dim is None or not self.ndim else xp.moveaxis(self.data, axis, 0)
        differ = (x[1:] != x[:-1]).any(axis=tuple(range(1, x.ndim)))
        starts = xp.concatenate([xp.ones(min(1, len(x)), dtype=bool), differ])
        found = [new(xp.moveaxis(x[starts], 0, axis))]
        if return_inverse:
            found.append(new((xp.cumsum(starts) - 1).reshape(self.shape if dim is None else -1)))
        if return_counts:
            found.append(new(xp.diff(xp.append(xp.flatnonzero(starts), len(x)))))
        return found[0] if len(found) == 1 else tuple(found)

    def bincount(self, weights: Any = None, minlength: int = 0) -> "Tensor":
        """How often each whole number from 0 on is there, or the sum of the weights that go with it.

        Raises:
            ShapeError: this is no vector of whole numbers, or there is not a weight for each.
        """
        if self.ndim != 1 or self.dtype.kind not in "iub":
            raise ShapeError(f"bincount: expected a vector of whole numbers, got {self.dtype} of shape {self.shape}")
        given = None if weights is None else backend.of(self.data).asarray(array_of(weights))
        if given is not None and given.shape != self.shape:
            raise ShapeError(f"bincount: expected a weight for each of {self.shape[0]} numbers, got {given.shape}")
        found = backend.array_module(self.data).bincount(self.data, given, minlength)
        return new(found.astype(np.float32) if given is not None and given.dtype == np.float32 else found)

    def equal(self, other: TensorBase) -> bool:
        """Whether shape and elements are the same."""
        return self.shape == other.shape and bool((self.data == other.data).all())

    def allclose(self, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
        """Whether all elements agree: |a - b| <= atol + rtol |b|."""
        xp = backend.array_module(self.data)
        return bool(xp.allclose(self.data, array_of(other), rtol=rtol, atol=atol, equal_nan=equal_nan))

    # --- helpers ------------------------------------------------------------------------------------------------------

    def _whole(self, name: str, index: Any) -> Any:
        found = backend.of(self.data).asarray(array_of(index))
        if found.dtype.kind not in "iu":
            raise ShapeError(f"{name}: an index holds whole numbers, got {found.dtype}")
        return found

    def _inside(self, name: str, index: Any, position: int) -> Any:
        """The index, whose numbers are those of rows; asked on the CPU, where asking is free."""
        length = self.shape[position] if self.ndim else 1
        if backend.array_module(index) is np and index.size and not 0 <= index.min() <= index.max() < length:
            wrong = index[(index < 0) | (index >= length)].flat[0]
            raise AxisError(f"{name}: index {wrong} is not in 0..{length - 1}, the rows of an axis of {self.shape}")
        return index

    def _flags(self, name: str, mask: Any) -> Any:
        flags = backend.of(self.data).asarray(array_of(mask))
        if flags.dtype.kind not in "biu":
            raise ShapeError(f"{name}: a condition is boolean, got {flags.dtype}; compare, as in x > 0")
        return flags if flags.dtype == bool else new(flags).to(dtype="bool").data
