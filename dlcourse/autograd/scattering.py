"""A tensor's methods that give it with some elements replaced, or added to, at places: scatter and what is like it.

The replaced get no gradient, the replacements the gradient of their places.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from dlcourse.autograd import axes, shape
from dlcourse.autograd.base import TensorBase, apply
from dlcourse.autograd.creation import as_tensor
from dlcourse.autograd.selection import Selection
from dlcourse.backend import array_module
from dlcourse.backend.precision import is_floating
from dlcourse.errors import ArgumentError, ArgumentTypeError, ShapeError

if TYPE_CHECKING:
    from dlcourse.autograd.tensor import Tensor


_JOINS = {"sum": "add", "prod": "multiply", "mean": "add", "amax": "maximum", "amin": "minimum"}


class Scattering(Selection):
    """Replacement of elements."""

    __slots__ = ()

    @axes.also_axis
    def scatter(self, dim: int, index: Any, src: Any = None, *, value: Any = None, reduce: str | None = None,
                ) -> "Tensor":  # fmt: skip
        """x with x[index[i][j]][j] = src[i][j] along ``dim`` = 0, and so on; ``src`` or ``value`` may be a number.
        Where an index comes twice, one of the two stays, and both get its gradient, as in PyTorch.

        Raises:
            ShapeError: the index has another number of axes, is longer than x or ``src``, or holds no whole numbers.
        """
        if reduce is not None:
            raise ArgumentError("scatter: reduce is not offered; x.scatter_reduce(dim, index, src, reduce) joins")
        places, given = self._scattered("scatter", dim, index, value if src is None else src)
        return self._with(places, given)

    @axes.also_axis
    def scatter_add(self, dim: int, index: Any, src: Any) -> "Tensor":
        """x with src[i][j] added to x[index[i][j]][j] along ``dim`` = 0, and so on; all that come to one place add up.

        Raises:
            ShapeError: as :meth:`scatter` has it.
        """
        places, given = self._scattered("scatter_add", dim, index, src)
        return self._with(places, given, add=True)

    @axes.also_axis
    def scatter_reduce(self, dim: int, index: Any, src: Any, reduce: str, *, include_self: bool = True) -> "Tensor":
        """x with src[i][j] joined to x[index[i][j]][j] along ``dim`` = 0, and so on: all that come to one place.

        Args:
            reduce: how they are joined: "sum", "prod", "mean", "amax" or "amin".
            include_self: whether x's own element is one of them.
        Raises:
            ShapeError: as :meth:`scatter` has it.
            ArgumentError: another ``reduce``.
        Example:
            >>> x = dl.tensor([1.0, 2.0, 3.0])
            >>> x.scatter_reduce(0, dl.tensor([0, 0, 2]), dl.tensor([5.0, 7.0, 1.0]), "amax").tolist()
            [7.0, 2.0, 3.0]
        """
        if reduce not in _JOINS:
            raise ArgumentError(f"scatter_reduce: reduce is one of {', '.join(_JOINS)}, got {reduce!r}")
        places, given = self._scattered("scatter_reduce", dim, index, src)
        xp = array_module(self.data)
        if reduce in ("sum", "mean"):
            touched = xp.zeros(self.shape, dtype=bool)
            touched[places] = True
            total = (self if include_self else self.masked_fill(touched, 0))._with(places, given, add=True)
            return total if reduce == "sum" else self._over_counts(total, places, given, include_self)
        numbers = xp.arange(self.data.size).reshape(self.shape)[places]
        flat = xp.broadcast_to(numbers, given.shape).reshape(-1)
        return apply(shape.JoinItem(flat, _JOINS[reduce], include_self), self, given)

    def _over_counts(self, total: "Tensor", places: Any, given: "Tensor", include_self: bool) -> "Tensor":
        ones = type(self)(array_module(self.data).ones(given.shape, dtype=self.dtype))
        none = type(self)(array_module(self.data).full(self.shape, int(include_self), dtype=self.dtype))
        counts = none._with(places, ones, add=True).clamp(min=1)
        return total / counts if is_floating(self.dtype) else total.div(counts, rounding_mode="floor")

    @axes.also_axis
    def index_add(self, dim: int, index: Any, source: Any, *, alpha: float = 1) -> "Tensor":
        """x with alpha source's slice i added to its slice index[i] along an axis."""
        places, given = self._slices("index_add", dim, index, source)
        return self._with(places, given if alpha == 1 else alpha * given, add=True)

    @axes.also_axis
    def index_copy(self, dim: int, index: Any, source: Any) -> "Tensor":
        """x with source's slice i in the place of its slice index[i] along an axis."""
        return self._with(*self._slices("index_copy", dim, index, source))

    @axes.also_axis
    def index_fill(self, dim: int, index: Any, value: Any) -> "Tensor":
        """x with a number in the slices of these places along an axis."""
        places, _ = self._slices("index_fill", dim, index, None)
        flags = array_module(self.data).zeros(self.shape, dtype=bool)
        flags[places] = True
        return self.masked_fill(flags, value)

    def index_put(self, indices: Any, values: Any, accumulate: bool = False) -> "Tensor":
        """x with x[indices] = values, or += where they accumulate; the indices are a tuple of tensors."""
        places = tuple(self._index_item(one) for one in indices)  # type: ignore[attr-defined]
        return self._with(places, self._source("index_put", values), add=accumulate)

    def masked_scatter(self, mask: Any, source: Any) -> "Tensor":
        """x with the elements where a mask holds replaced by those of ``source``, one after the other.

        Raises:
            ShapeError: there are too few of them.
        """
        flags = self._flags("masked_scatter", mask)
        if getattr(mask, "dtype", flags.dtype) != flags.dtype:
            raise ShapeError(f"masked_scatter: a mask is boolean, got {mask.dtype}")
        wide = np.broadcast_shapes(self.shape, flags.shape)
        xp = array_module(self.data)
        x = apply(shape.BroadcastTo(wide), self) if wide != self.shape else self
        places = xp.flatnonzero(xp.broadcast_to(flags, wide))
        given = self._source("masked_scatter", source).reshape(-1)
        if len(places) > given.size:
            raise ShapeError(f"masked_scatter: {len(places)} places for {given.size} elements")
        return x.reshape(-1)._with((places,), given[: len(places)]).reshape(wide)

    def take(self, index: Any) -> "Tensor":
        """The elements at these places, counted row by row, in the index's shape."""
        found = self._whole("take", index)
        flat = self.reshape(-1)
        xp, count = array_module(found), flat.shape[0]
        found = xp.where(found < 0, found + count, found)
        return flat[flat._inside("take", found, 0)]

    def put(self, index: Any, source: Any, accumulate: bool = False) -> "Tensor":
        """x with ``source``'s elements at these places, counted row by row, or added there where they accumulate."""
        found = self._whole("put", index).reshape(-1)
        given = self._source("put", source).reshape(-1)
        if found.size != given.size:
            raise ShapeError(f"put: {found.size} places for {given.size} elements")
        flat = self.reshape(-1)
        found = array_module(found).where(found < 0, found + flat.shape[0], found)
        return flat._with((flat._inside("put", found, 0),), given, add=accumulate).reshape(self.shape)

    @axes.also_axis
    def select_scatter(self, src: Any, dim: int, index: int) -> "Tensor":
        """x with its slice of that number along an axis replaced."""
        position = axes.single("select_scatter", self.shape, dim)
        return self._with((*(slice(None),) * position, int(index)), self._source("select_scatter", src), whole=True)

    @axes.also_axis
    def slice_scatter(self, src: Any, dim: int = 0, start: int | None = None, end: int | None = None,
                      step: int = 1) -> "Tensor":  # fmt: skip
        """x with its slices from start to end along an axis replaced."""
        position = axes.single("slice_scatter", self.shape, dim)
        part = slice(start, end, step)
        return self._with((*(slice(None),) * position, part), self._source("slice_scatter", src), whole=True)

    def diagonal_scatter(self, src: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> "Tensor":
        """x with its diagonal replaced, as :meth:`diagonal` gives it."""
        xp = array_module(self.data)
        numbers = type(self)(xp.arange(self.data.size).reshape(self.shape))
        return self.put(numbers.diagonal(offset, dim1, dim2), src)

    # --- helpers ------------------------------------------------------------------------------------------------------

    def _with(self, places: Any, values: TensorBase, add: bool = False, whole: bool = False) -> Any:
        return apply(shape.AddItem(places) if add else shape.SetItem(places, whole), self, values)

    def _source(self, name: str, values: Any) -> "Tensor":
        """What is put or added somewhere, as a tensor of this type.

        Raises:
            ArgumentTypeError: it is of another type.
        """
        if isinstance(values, int | float):
            return self._number(name, values)
        given = as_tensor(values, like=self)
        if given.dtype != self.dtype:
            raise ArgumentTypeError(
                f"{name}: expected values of this tensor's type {self.dtype}, got {given.dtype}; bring them there, as "
                "in values.to(dtype=x.dtype)"
            )
        return given

    def _scattered(self, name: str, dim: int, index: Any, src: Any) -> tuple[Any, Any]:
        """The places of all elements of an index as an index of the whole, and what comes there."""
        position, found = axes.single(name, self.shape, dim), self._whole(name, index)
        given = self._source(name, src)
        if not self.ndim and found.size:
            return (), given.reshape(()) if given.size == 1 else given
        if found.ndim != self.ndim and found.size:
            raise ShapeError(f"{name}: expected an index with {self.ndim} axes, got shape {found.shape}")
        if found.size and any(i != position and n > self.shape[i] for i, n in enumerate(found.shape)):
            raise ShapeError(f"{name}: an index of shape {found.shape} is longer than a tensor of shape {self.shape}")
        found = self._inside(name, found, position)
        if given.ndim:
            if given.ndim != found.ndim or any(n > m for n, m in zip(found.shape, given.shape, strict=True)):
                raise ShapeError(f"{name}: an index of shape {found.shape} is longer than a source of {given.shape}")
            given = given[tuple(slice(0, n) for n in found.shape)]
        return self._grids(found, position), given

    def _slices(self, name: str, dim: int, index: Any, source: Any) -> tuple[Any, Any]:
        """The places of whole slices along an axis, and what comes there."""
        position, found = axes.single(name, self.shape, dim), self._whole(name, index)
        if found.ndim > 1:
            raise ShapeError(f"{name}: expected a vector of places, got shape {found.shape}")
        found = self._inside(name, found.reshape(-1), position)
        given: Any = None if source is None else self._source(name, source)
        if not self.ndim:
            return (), None if given is None else given.reshape(())
        if given is not None:
            given = given if given.ndim else given.reshape(1)
            wanted = tuple(len(found) if i == position else n for i, n in enumerate(self.shape))
            if given.shape != wanted:
                raise ShapeError(f"{name}: expected a source of shape {wanted}, got {given.shape}")
        return (*(slice(None),) * position, found), given
