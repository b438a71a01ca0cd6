"""A tensor's methods that make fewer numbers of many, beside sums, means and extremes; and running ones."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dlcourse.autograd import axes, elementwise, reduce, running, softmax
from dlcourse.autograd.base import TensorBase, apply, new
from dlcourse.autograd.creation import as_tensor
from dlcourse.autograd.function import Function
from dlcourse.autograd.reductions import Reductions
from dlcourse.autograd.selection import Ordered, Selection
from dlcourse.autograd.shape import Concatenate
from dlcourse.backend import array_module
from dlcourse.backend.precision import is_floating
from dlcourse.errors import ArgumentError, ShapeError

if TYPE_CHECKING:
    from dlcourse.autograd.tensor import Tensor


class Range(NamedTuple):
    """The smallest and the largest elements, as PyTorch's ``aminmax`` gives them."""

    min: TensorBase
    max: TensorBase


class Statistics(Reductions, Selection):
    """Sums of other kinds, order statistics, running sums and products."""

    __slots__ = ()

    # --- of exponentials ----------------------------------------------------------------------------------------------

    def softmax(self, dim: int | None = None, dtype: Any = None, *, axis: int | None = None) -> "Tensor":
        """e^x / sum e^x along an axis, in another type where one is given."""
        return apply(softmax.Softmax(axes.single("softmax", self.shape, axis, dim)), self._in(dtype))

    def log_softmax(self, dim: int | None = None, dtype: Any = None, *, axis: int | None = None) -> "Tensor":
        """log softmax(x) along an axis, without overflow or log 0, in another type where one is given."""
        position = axes.single("log_softmax", self.shape, axis, dim)
        return apply(softmax.LogSoftmax(position), self._in(dtype))

    def logsumexp(self, dim: axes.Several = None, keepdim: bool = False, *, axis: axes.Several = None,
                  keepdims: bool = False) -> "Tensor":  # fmt: skip
        """log sum e^x along the axes, without overflow."""
        if dim is None and axis is None:
            raise ArgumentError("logsumexp: expected the axes to sum over, dim=...")
        over = axes.several("logsumexp", self.shape, axis, dim)
        return apply(softmax.LogSumExp(over, keepdim or keepdims), self)

    # --- moments ------------------------------------------------------------------------------------------------------

    def var_mean(self, axis: Any = None, **options: Any) -> "tuple[Tensor, Tensor]":
        """The variance and the mean; arguments as :meth:`var` has them."""
        return self.var(axis, **options), self._mean_beside(axis, options)

    def std_mean(self, axis: Any = None, **options: Any) -> "tuple[Tensor, Tensor]":
        """The standard deviation and the mean; arguments as :meth:`std` has them."""
        return self.std(axis, **options), self._mean_beside(axis, options)

    def _mean_beside(self, axis: Any, options: dict) -> "Tensor":
        return self.mean(axis, **{name: options[name] for name in ("dim", "keepdim", "keepdims") if name in options})

    def nansum(self, axis: Any = None, **options: Any) -> "Tensor":
        """The sum of those that are numbers; arguments as :meth:`sum` has them."""
        return self._or_zero().sum(axis, **options)

    def nanmean(self, axis: Any = None, **options: Any) -> "Tensor":
        """The mean of those that are numbers; arguments as :meth:`mean` has them."""
        counts = new((self.data == self.data).astype(self.dtype)).sum(axis, **options)
        return self._or_zero().sum(axis, **options) / counts

    def _or_zero(self) -> "Tensor":
        return apply(elementwise.Where(self.data == self.data), self, as_tensor(0, like=self))

    def count_nonzero(self, dim: axes.Several = None, *, axis: axes.Several = None) -> "Tensor":
        """How many elements are not 0, along the axes or of all; without a gradient."""
        over = axes.several("count_nonzero", self.shape, axis, dim)
        return new(array_module(self.data).asarray((self.data != 0).sum(axis=over)))

    def aminmax(self, *, dim: int | None = None, keepdim: bool = False, axis: int | None = None) -> Range:
        """The smallest and the largest element, along an axis or of all: ``min`` and ``max`` of a named tuple."""
        over = None if dim is None and axis is None else axes.single("aminmax", self.shape, axis, dim)
        return Range(self.amin(over, keepdim), self.amax(over, keepdim))

    # --- in order -----------------------------------------------------------------------------------------------------

    def median(self, dim: int | None = None, keepdim: bool = False, *, axis: int | None = None) -> Any:
        """The element in the middle, the lower of two; along an axis ``values`` and ``indices`` of a named tuple.

        It is NaN where an element is, as in PyTorch; NumPy's is the mean of the two in the middle.
        """
        return self._ranked("median", dim, keepdim, axis, lambda length, numbers: (length - 1) // 2)

    def nanmedian(self, dim: int | None = None, keepdim: bool = False, *, axis: int | None = None) -> Any:
        """The one in the middle of those that are numbers; as :meth:`median` else."""
        return self._ranked("nanmedian", dim, keepdim, axis, lambda length, numbers: (numbers - 1) // 2)

    @axes.also_axis
    def kthvalue(self, k: int, dim: int = -1, keepdim: bool = False) -> Any:
        """The k-th smallest element along an axis, counted from 1, and its place.

        Raises:
            ArgumentError: there are not so many.
        """
        length = self.shape[axes.single("kthvalue", self.shape, dim)] if self.ndim else 1
        if not 1 <= k <= length:
            raise ArgumentError(f"kthvalue: expected k in 1..{length}, the length of the axis, got {k}")
        return self._ranked("kthvalue", dim, keepdim, None, lambda length, numbers: 0 * numbers + k - 1)

    def _ranked(self, name: str, dim: Any, keepdim: bool, axis: Any, rank: Any) -> Any:
        """The element of that rank along an axis, or of all; ``rank`` of the length and of how many are numbers."""
        if dim is None and axis is None:
            if not self.data.size:
                raise ShapeError(f"{name}: expected at least one element, got a tensor of shape {self.shape}")
            return self.reshape(-1)._ranked(name, 0, False, None, rank).values
        position = axes.single(name, self.shape, axis, dim)
        x = self if self.ndim else self.reshape(1)
        length = x.shape[position]
        if not length:
            raise ShapeError(f"{name}: there is nothing to choose from along axis {position} of {self.shape}")
        xp = array_module(x.data)
        missing = (x.data != x.data).sum(axis=position, keepdims=True)
        place = xp.asarray(rank(length, length - missing)) + 0 * missing
        if name == "median":
            place = xp.where(missing > 0, length - missing, place)  # the first NaN, which come last
        # The rank of nanmedian differs from row to row: only a whole order has it.
        order = x._order(name, position, False) if name == "nanmedian" else x._parted(position, rank(length, length))
        if name == "median":
            order = xp.where(missing > 0, xp.argmax(x.data != x.data, axis=position, keepdims=True), order)
        index = xp.take_along_axis(order, xp.maximum(place, 0), position)
        values, indices = x._along(index, position), new(index)
        if not self.ndim or not keepdim:
            shape = () if not self.ndim else tuple(n for i, n in enumerate(self.shape) if i != position)
            values, indices = values.reshape(shape), new(index.reshape(shape))
        return Ordered(values, indices)

    def quantile(self, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear",
                 axis: int | None = None) -> "Tensor":  # fmt: skip
        """The value below which a share q of the elements lies, along an axis or of all; of several q one a row.

        Args:
            q: a number in 0..1, or a vector of them.
            interpolation: between the two nearest: "linear", "lower", "higher", "nearest" or "midpoint".
        Raises:
            ArgumentError: q or the interpolation is none of these.
        """
        shares = as_tensor(q, like=self)
        if not is_floating(self.dtype):
            raise ArgumentError(f"quantile: expected numbers with a fraction, got {self.dtype}; see x.float()")
        if shares.ndim > 1:
            raise ArgumentError(f"quantile: expected q to be a number or a vector, got shape {shares.shape}")
        if interpolation not in _BETWEEN:
            raise ArgumentError(f"quantile: interpolation is one of {', '.join(_BETWEEN)}, got {interpolation!r}")
        whole = not self.ndim or (dim is None and axis is None)
        x = self.reshape(-1) if whole else self
        position = 0 if whole else axes.single("quantile", x.shape, axis, dim)
        if not x.shape[position]:
            raise ShapeError(f"quantile: there is nothing to choose from in a tensor of shape {self.shape}")
        xp = array_module(x.data)
        if xp is np and not ((shares.data >= 0) & (shares.data <= 1)).all():
            raise ArgumentError(f"quantile: q is in 0..1, got {q!r}")
        places = shares.reshape(-1) * (x.shape[position] - 1)
        below, above = places.detach().floor(), places.detach().ceil()
        ordered = x.sort(position).values
        low, high = (ordered.index_select(position, one.to(dtype="int64")) for one in (below, above))
        weights = _BETWEEN[interpolation](places, below).reshape(
            tuple(-1 if i == position else 1 for i in range(x.ndim))
        )
        found = low + weights * (high - low)
        unknown = (x.data != x.data).any(axis=position, keepdims=True)
        found = found.masked_fill(unknown, math.nan).movedim(position, 0)
        remaining = (1,) * self.ndim if whole else tuple(1 if i == position else n for i, n in enumerate(x.shape))
        lengths = remaining if keepdim else found.shape[1:]
        return found.reshape((*(shares.shape if shares.ndim else ()), *lengths))

    def histc(self, bins: int = 100, min: float = 0, max: float = 0) -> "Tensor":
        """How many elements lie in each of so many equal parts of min..max, of the smallest to the largest element
        where both are equal; the rest counts nowhere. In x's type, without a gradient.

        Raises:
            ArgumentError: there are no bins, or the range is empty or not finite.
        """
        if not isinstance(bins, int) or bins < 1:
            raise ArgumentError(f"histc: bins is at least 1, got {bins!r}")
        if not (math.isfinite(min) and math.isfinite(max) and min <= max):
            raise ArgumentError(f"histc: expected a finite range min..max, got {min}..{max}")
        if not is_floating(self.dtype):
            raise ArgumentError(f"histc: expected numbers with a fraction, got {self.dtype}; see x.float()")
        xp, x = array_module(self.data), self.data.reshape(-1)
        low, high = xp.asarray(min, dtype=x.dtype), xp.asarray(max, dtype=x.dtype)
        if min == max and x.size:
            low, high = x.min(), x.max()
        low, high = xp.where(low == high, low - 1, low), xp.where(low == high, high + 1, high)
        inside = (x >= low) & (x <= high)
        place = xp.where(inside, (x - low) / (high - low) * bins, 0).astype(np.int64)
        place = xp.where(inside, xp.minimum(place, bins - 1), bins)  # all that is outside in one more
        return new(xp.bincount(place, minlength=bins + 1)[:bins].astype(x.dtype))

    def cov(self, *, correction: int = 1, fweights: Any = None, aweights: Any = None) -> "Tensor":
        """The covariances of variables (rows) over observations (columns), (D, N) -> (D, D); of one variable (N,) its
        variance.

        Args:
            correction: what is taken off the number of observations.
            fweights: (N,), how often each observation was made: whole numbers.
            aweights: (N,), how much each counts.
        Raises:
            ShapeError: x has more than two axes, or weights are not (N,).
            ArgumentError: weights are of another type or (asked on the CPU alone) negative.
        """
        if self.ndim > 2:
            raise ShapeError(f"cov: expected variables in rows, (D, N) or (N,), got {self.shape}")
        x: Any = self if is_floating(self.dtype) else self.to(dtype="float32")
        x = x.reshape(1, -1) if x.ndim < 2 else x
        weights: Any = None
        for name, given in (("fweights", fweights), ("aweights", aweights)):
            if given is not None:
                one = as_tensor(given)
                if one.shape != x.shape[1:]:
                    raise ShapeError(f"cov: expected {name} {x.shape[1:]}, got {one.shape}")
                if is_floating(one.dtype) != (name == "aweights"):
                    wanted = "numbers with a fraction" if name == "aweights" else "whole numbers"
                    raise ArgumentError(f"cov: {name} are {wanted}, got {one.dtype}")
                if array_module(one.data) is np and (one.data < 0).any():
                    raise ArgumentError(f"cov: {name} are at least 0, got {one.data.min()}")
                weights = one if weights is None else weights * one
        if weights is None:
            centered = x - x.mean(dim=1, keepdim=True)
            product = centered @ centered.T / float(max(x.shape[1] - correction, 0))
        else:
            total = weights.sum()
            spread = 1 if aweights is None else (weights * as_tensor(aweights)).sum() / total
            centered = x - (x * weights).sum(dim=1, keepdim=True) / total
            product = (centered * weights) @ centered.T / (total - correction * spread).clamp(min=0)
        return product.reshape(()) if len(x) == 1 else product

    def corrcoef(self) -> "Tensor":
        """The correlations of variables (rows) over observations (columns), (D, N) -> (D, D); of one variable 1."""
        found = self.cov()
        if not found.ndim:
            return found / found
        scale = found.diagonal().sqrt()
        return (found / scale[:, None] / scale).clamp(-1, 1)

    # --- running ------------------------------------------------------------------------------------------------------

    def cumprod(self, dim: int | None = None, *, dtype: Any = None, axis: int | None = None) -> "Tensor":
        """The products of the elements up to each, along an axis."""
        return self._run("cumprod", running.CumProd, dim, axis, dtype)

    def cumsum(self, dim: int | None = None, *, dtype: Any = None, axis: int | None = None) -> "Tensor":
        """The sums of the elements up to each, along an axis."""
        return self._run("cumsum", reduce.CumSum, dim, axis, dtype)

    def logcumsumexp(self, dim: int | None = None, *, axis: int | None = None) -> "Tensor":
        """The logarithms of the sums of e^x of the elements up to each, along an axis, without overflow."""
        return self._run("logcumsumexp", running.LogCumSumExp, dim, axis, None)

    def _run(self, name: str, function: type[Function], dim: Any, axis: Any, dtype: Any) -> "Tensor":
        return apply(function(axes.single(name, self.shape, axis, dim)), self._in(dtype))  # type: ignore[call-arg]

    def cummax(self, dim: int | None = None, *, axis: int | None = None) -> Ordered:
        """The largest of the elements up to each, along an axis, and its place, the last where several reach it."""
        return self._extreme_so_far("cummax", "maximum", dim, axis)

    def cummin(self, dim: int | None = None, *, axis: int | None = None) -> Ordered:
        """The smallest of the elements up to each, along an axis, and its place, the last where several reach it."""
        return self._extreme_so_far("cummin", "minimum", dim, axis)

    def _extreme_so_far(self, name: str, choice: str, dim: Any, axis: Any) -> Ordered:
        position = axes.single(name, self.shape, axis, dim)
        x = self if self.ndim else self.reshape(1)
        indices = running.extreme_places(choice, x.data, position)
        return Ordered(x._along(indices, position).reshape(self.shape), new(indices.reshape(self.shape)))

    @axes.also_axis
    def diff(self, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> "Tensor":
        """x_(i+1) - x_i along an axis, n times; tensors to put before and behind are joined to x first."""
        position = axes.single("diff", self.shape, dim)
        if not self.ndim or n < 0:
            raise ShapeError(f"diff: expected a tensor with an axis and n of at least 0, got {self.shape} and {n}")
        if not n:
            return apply(elementwise.Copy(), self)
        parts = [one for one in (prepend, self, append) if one is not None]
        x: Any = apply(Concatenate(position), *parts) if len(parts) > 1 else self
        for _ in range(min(n, x.shape[position])):
            length = x.shape[position]
            x = x.narrow(position, 1, max(0, length - 1)) - x.narrow(position, 0, max(0, length - 1))
        return x


_BETWEEN: dict[str, Callable] = {
    "linear": lambda place, below: place - below,
    "lower": lambda place, below: 0 * below,
    "higher": lambda place, below: 0 * below + 1,
    "nearest": lambda place, below: place.detach().round() - below,
    "midpoint": lambda place, below: 0 * below + 0.5,
}
"""How far from the lower of the two nearest elements to the upper one, by the kind of interpolation."""
