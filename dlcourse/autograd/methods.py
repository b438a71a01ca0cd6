"""Functions of one tensor that are called as its methods: element by element, reductions, changes of shape."""

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from dlcourse.autograd import axes, elementwise, reduce, shape
from dlcourse.autograd.base import TensorBase, apply, new
from dlcourse.autograd.conversion import Conversion
from dlcourse.autograd.creation import paired
from dlcourse.autograd.selection import Selection
from dlcourse.autograd.shaping import Shaping
from dlcourse.autograd.unary import Unary
from dlcourse.errors import ArgumentError, ArgumentTypeError, ShapeError

if TYPE_CHECKING:
    from dlcourse.autograd.tensor import Tensor


class Extremes(NamedTuple):
    """The largest or smallest elements along one axis, and where they are, as PyTorch's ``max(dim=)`` gives them."""

    values: TensorBase
    indices: TensorBase


class Methods(Unary, Shaping, Selection, Conversion):
    """A tensor's functions."""

    __slots__ = ()

    if TYPE_CHECKING:

        def __mul__(self, other: Any) -> "Tensor": ...

    # --- element by element -------------------------------------------------------------------------------------------

    def clamp(self, min: Any = None, max: Any = None) -> "Tensor":
        """As :meth:`clip`."""
        return clip(self, min, max)

    def clip(self, min: Any = None, max: Any = None) -> "Tensor":
        """Each element, no smaller than ``min`` and no larger than ``max``: numbers, or tensors that get a gradient.

        Raises:
            ArgumentError: neither is given.
        """
        return clip(self, min, max)

    # --- reductions ---------------------------------------------------------------------------------------------------

    def sum(
        self, axis: reduce.Axis = None, keepdims: bool = False, *, dim: reduce.Axis = None, keepdim: bool | None = None
    ) -> "Tensor":
        """The sum over the axes, over all without any."""
        return apply(reduce.Sum(axes.several("sum", self.shape, axis, dim), axes.keeps_dims(keepdims, keepdim)), self)

    def mean(
        self, axis: reduce.Axis = None, keepdims: bool = False, *, dim: reduce.Axis = None, keepdim: bool | None = None
    ) -> "Tensor":
        """The mean over the axes, over all without any."""
        return apply(reduce.Mean(axes.several("mean", self.shape, axis, dim), axes.keeps_dims(keepdims, keepdim)), self)

    def max(self, *positional: Any, axis: reduce.Axis = None, keepdims: bool = False, dim: Any = None,
            keepdim: bool | None = None) -> Any:  # fmt: skip
        """The largest element.

        Args:
            axis: where to look, an axis or several, all without any. Where several elements reach the largest they
                share the gradient (``torch.amax``'s rule).
            dim: one axis; gives the largest and their indices, ``values`` and ``indices`` of a named tuple, as
                ``torch.max(x, dim)``. The whole gradient goes to the one at the index.
            keepdims, keepdim: leave the axes there, with length 1.
        Raises:
            ArgumentTypeError: an axis without a name, which NumPy and PyTorch read in these two ways.
        """
        return self._extreme("max", positional, axis, dim, axes.keeps_dims(keepdims, keepdim))

    def min(self, *positional: Any, axis: reduce.Axis = None, keepdims: bool = False, dim: Any = None,
            keepdim: bool | None = None) -> Any:  # fmt: skip
        """The smallest element; arguments and errors as :meth:`max` has them."""
        return self._extreme("min", positional, axis, dim, axes.keeps_dims(keepdims, keepdim))

    def _extreme(self, name: str, positional: tuple, axis: reduce.Axis, dim: Any, keepdims: bool) -> Any:
        axis = axes.refuse_positional(name, positional) if positional else axis
        if dim is None:
            return apply(reduce.Extreme(name, axes.several(name, self.shape, axis), keepdims), self)
        position = axes.single(name, self.shape, axis, dim)
        indices = reduce.extreme_indices(name, self.data, position)
        values = apply(reduce.Picked(indices, position, keepdims), self)
        return Extremes(values, new(indices if keepdims or not self.ndim else indices.squeeze(position)))

    def var(
        self,
        axis: reduce.Axis = None,
        *,
        correction: int = 1,
        keepdims: bool = False,
        dim: reduce.Axis = None,
        keepdim: bool | None = None,
        unbiased: bool | None = None,
    ) -> "Tensor":
        """The variance, over n - ``correction``: by default unbiased, as in PyTorch (NumPy's default is 0).

        Args:
            unbiased: PyTorch's older word: True is a correction of 1, False of 0.
        """
        correction = _correction("var", axis, correction, unbiased)
        over = axes.several("var", self.shape, axis, dim)
        return apply(reduce.Var(over, correction, axes.keeps_dims(keepdims, keepdim)), self)

    def std(
        self,
        axis: reduce.Axis = None,
        *,
        correction: int = 1,
        keepdims: bool = False,
        dim: reduce.Axis = None,
        keepdim: bool | None = None,
        unbiased: bool | None = None,
    ) -> "Tensor":
        """The standard deviation, the root of :meth:`var`: by default unbiased, as in PyTorch (NumPy's default is 0).

        Example:
            >>> x = dl.tensor([1.0, 2.0, 3.0, 4.0])
            >>> round(x.std().item(), 4), round(x.std(correction=0).item(), 4)
            (1.291, 1.118)
        """
        correction = _correction("std", axis, correction, unbiased)
        over = axes.several("std", self.shape, axis, dim)
        return apply(reduce.Std(over, correction, axes.keeps_dims(keepdims, keepdim)), self)

    def amax(self, dim: reduce.Axis = None, keepdim: bool = False) -> "Tensor":
        """The largest element, over the axes or all; those that reach it share the gradient."""
        return apply(reduce.Extreme("max", axes.several("amax", self.shape, None, dim), keepdim), self)

    def amin(self, dim: reduce.Axis = None, keepdim: bool = False) -> "Tensor":
        """The smallest element, likewise."""
        return apply(reduce.Extreme("min", axes.several("amin", self.shape, None, dim), keepdim), self)

    def prod(self, axis: int | None = None, keepdims: bool = False, *, dim: int | None = None,
             keepdim: bool | None = None) -> "Tensor":  # fmt: skip
        """The product along an axis, of all elements without one."""
        over = None if axis is None and dim is None else axes.single("prod", self.shape, axis, dim)
        return apply(reduce.Prod(over if self.ndim else None, axes.keeps_dims(keepdims, keepdim)), self)

    def cumsum(self, axis: int | None = None, *, dim: int | None = None) -> "Tensor":
        """The sums of the elements up to each, along an axis."""
        return apply(reduce.CumSum(axes.single("cumsum", self.shape, axis, dim)), self)

    def norm(self, p: float | str = 2, dim: reduce.Axis = None, keepdim: bool = False) -> "Tensor":
        """The p-norm over the axes, all without any: the Euclidean length, the sum of absolute values (1), or the
        largest (``float("inf")``); any other positive p too.

        Raises:
            ArgumentError: p is none of these.
        """
        over = axes.several("norm", self.shape, None, dim)
        if p in (2, "fro"):
            return apply(reduce.Norm2(over, keepdim), self)
        if isinstance(p, str) or not p > 0:
            raise ArgumentError(f"norm: expected p = 2, 1, inf or another positive number, got {p!r}")
        if p == math.inf:
            return apply(reduce.Extreme("max", over, keepdim), self.abs())
        powers = self.abs() if p == 1 else self.abs() ** p
        total = apply(reduce.Sum(over, keepdim), powers)
        return total if p == 1 else total ** (1 / p)

    def argmax(self, axis: int | None = None, keepdims: bool = False, *, dim: int | None = None,
               keepdim: bool | None = None) -> "Tensor":  # fmt: skip
        """The index of the largest element, the first where several reach it; without a gradient."""
        return self._index_of("max", axis, dim, axes.keeps_dims(keepdims, keepdim))

    def argmin(self, axis: int | None = None, keepdims: bool = False, *, dim: int | None = None,
               keepdim: bool | None = None) -> "Tensor":  # fmt: skip
        """The index of the smallest element, the first where several reach it; without a gradient."""
        return self._index_of("min", axis, dim, axes.keeps_dims(keepdims, keepdim))

    def _index_of(self, name: str, axis: int | None, dim: int | None, keepdims: bool) -> "Tensor":
        if axis is None and dim is None:
            return new(reduce.extreme_indices(name, self.data.reshape(-1), 0).reshape(()))
        position = axes.single(f"arg{name}", self.shape, axis, dim)
        found = reduce.extreme_indices(name, self.data, position)
        return new(found if keepdims or not self.ndim else found.squeeze(position))

    # --- shapes -------------------------------------------------------------------------------------------------------

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


def _correction(name: str, axis: Any, correction: Any, unbiased: bool | None) -> Any:
    """What to take off n."""
    if correction is None:
        raise ArgumentError(f"{name}: correction is a number (1 is the unbiased variance), got None")
    if isinstance(axis, bool):
        raise ArgumentTypeError(f"{name}({axis}): write unbiased={axis}, or correction={int(axis)}")
    if unbiased is None:
        return correction
    if correction != 1:
        raise ArgumentError(f"{name}: unbiased={unbiased} and correction={correction} name the same thing")
    return int(unbiased)


def clip(x: TensorBase, low: Any = None, high: Any = None) -> "Tensor":
    """Each element of x, no smaller than ``low`` and no larger than ``high``; each a number, an array or a tensor.

    Raises:
        ArgumentError: neither is given.
    """
    if low is None and high is None:
        raise ArgumentError("clip: expected a lower or an upper bound, got none")
    bounds = []
    for bound in (low, high):
        if bound is not None:
            x, bound = paired(x, bound)
        bounds.append(bound)
    return apply(elementwise.Clip(), x, *bounds)


def _flat_arguments(arguments: tuple) -> tuple[int, ...]:
    """``f(2, 3)`` and ``f((2, 3))`` alike."""
    if len(arguments) == 1 and isinstance(arguments[0], tuple | list):
        return tuple(arguments[0])
    return arguments
