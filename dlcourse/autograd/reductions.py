"""A tensor's sums, means, variances, norms and extremes, over axes or of all elements."""

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from dlcourse.autograd import axes, elementwise, reduce
from dlcourse.autograd.base import TensorBase, apply, without_gradient
from dlcourse.autograd.shaping import Shaping
from dlcourse.autograd.unary import Unary
from dlcourse.errors import ArgumentError, ArgumentTypeError

if TYPE_CHECKING:
    from dlcourse.autograd.tensor import Tensor


class Extremes(NamedTuple):
    """The largest or smallest elements along one axis, and where they are, as PyTorch's ``max(dim=)`` gives them."""

    values: TensorBase
    indices: TensorBase


class Reductions(Unary, Shaping):
    """Fewer numbers of many."""

    __slots__ = ()

    def sum(self, axis: reduce.Axis = None, keepdims: bool = False, *, dim: reduce.Axis = None,
            keepdim: bool | None = None, dtype: Any = None) -> "Tensor":  # fmt: skip
        """The sum over the axes, over all without any, in another type where one is given."""
        over = axes.several("sum", self.shape, axis, dim)
        return apply(reduce.Sum(over, axes.keeps_dims(keepdims, keepdim)), self._in(dtype))

    def mean(self, axis: reduce.Axis = None, keepdims: bool = False, *, dim: reduce.Axis = None,
            keepdim: bool | None = None, dtype: Any = None) -> "Tensor":  # fmt: skip
        """The mean over the axes, over all without any, in another type where one is given."""
        over = axes.several("mean", self.shape, axis, dim)
        return apply(reduce.Mean(over, axes.keeps_dims(keepdims, keepdim)), self._in(dtype))

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
        indices = self._index_of(name, position, keepdims)
        return Extremes(apply(reduce.Picked(indices.data, position, keepdims), self), indices)

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

    def amax(self, axis: reduce.Axis = None, keepdims: bool = False, *, dim: reduce.Axis = None,
             keepdim: bool | None = None) -> "Tensor":  # fmt: skip
        """The largest element, over the axes or all; those that reach it share the gradient."""
        over = axes.several("amax", self.shape, axis, dim)
        return apply(reduce.Extreme("max", over, axes.keeps_dims(keepdims, keepdim)), self)

    def amin(self, axis: reduce.Axis = None, keepdims: bool = False, *, dim: reduce.Axis = None,
             keepdim: bool | None = None) -> "Tensor":  # fmt: skip
        """The smallest element, likewise."""
        over = axes.several("amin", self.shape, axis, dim)
        return apply(reduce.Extreme("min", over, axes.keeps_dims(keepdims, keepdim)), self)

    def prod(self, axis: int | None = None, keepdims: bool = False, *, dim: int | None = None,
             keepdim: bool | None = None, dtype: Any = None) -> "Tensor":  # fmt: skip
        """The product along an axis, of all elements without one, in another type where one is given."""
        over = None if axis is None and dim is None else axes.single("prod", self.shape, axis, dim)
        function = reduce.Prod(over if self.ndim else None, axes.keeps_dims(keepdims, keepdim))
        return apply(function, self._in(dtype))

    def norm(self, p: Any = 2, dim: reduce.Axis = None, keepdim: bool = False, *, axis: reduce.Axis = None,
             keepdims: bool = False, dtype: Any = None) -> "Tensor":  # fmt: skip
        """The p-norm over the axes, all without any: (sum_i |x_i|^p)^(1/p), with p = 2 ("fro") the Euclidean length,
        with 1 the sum of absolute values, with inf and -inf the largest and smallest, with 0 how many are not 0.

        Raises:
            ArgumentError: p is none of these.
        """
        over, keep = axes.several("norm", self.shape, axis, dim), keepdim or keepdims
        x: Any = self._in(dtype)
        if p in (2, "fro", None):
            return apply(reduce.Norm2(over, keep), x)
        if isinstance(p, str):
            raise ArgumentError(f"norm: expected a number p or 'fro', got {p!r}")
        if abs(p) == math.inf:
            return apply(reduce.Extreme("max" if p > 0 else "min", over, keep), x.abs())
        if p == 0:
            return apply(reduce.Sum(over, keep), apply(elementwise.Mul(), x.sign().abs(), 1))
        powers = x.abs() if p == 1 else x.abs() ** p
        total = apply(reduce.Sum(over, keep), powers)
        return total if p == 1 else total ** (1 / p)

    def argmax(self, axis: int | None = None, keepdims: bool = False, *, dim: int | None = None,
               keepdim: bool | None = None) -> "Tensor":  # fmt: skip
        """The index of the largest element, the first where several reach it; without a gradient."""
        position = None if axis is None and dim is None else axes.single("argmax", self.shape, axis, dim)
        return self._index_of("max", position, axes.keeps_dims(keepdims, keepdim))

    def argmin(self, axis: int | None = None, keepdims: bool = False, *, dim: int | None = None,
               keepdim: bool | None = None) -> "Tensor":  # fmt: skip
        """The index of the smallest element, the first where several reach it; without a gradient."""
        position = None if axis is None and dim is None else axes.single("argmin", self.shape, axis, dim)
        return self._index_of("min", position, axes.keeps_dims(keepdims, keepdim))

    def _in(self, dtype: Any) -> TensorBase:
        return self if dtype is None else self.to(dtype=dtype)

    def _index_of(self, name: str, axis: int | None, keepdims: bool) -> "Tensor":
        x = self.data.reshape(-1) if axis is None else self.data
        found = reduce.extreme_indices(name, x, axis or 0)
        if keepdims:
            found = found.reshape([1 if axis in (None, i) else size for i, size in enumerate(self.shape)])
        return without_gradient(f"arg{name}", found, self, axis=axis, keepdims=keepdims)


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
