"""A tensor's operators by PyTorch's names: ``x.add(y)`` is ``x + y``, ``x.add_(y)`` changes x in place."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from dlcourse import backend
from dlcourse.autograd import elementwise
from dlcourse.autograd.base import apply, array_of, check_devices, without_gradient
from dlcourse.autograd.creation import paired
from dlcourse.autograd.operators import Operators
from dlcourse.autograd.pairs import Pairs
from dlcourse.backend import random
from dlcourse.errors import ArgumentError, ArgumentTypeError, ShapeError

if TYPE_CHECKING:
    from dlcourse.autograd.tensor import Tensor


def _in_place(name: str) -> Callable[..., Any]:
    """``x.name_(...)``: x becomes ``x.name(...)``, and is what is returned."""

    def method(self: Any, *args: Any, **options: Any) -> Any:
        compute = getattr(self, name)
        return self._written(f"{name}_", lambda given: compute(*given, **options), args)

    method.__name__ = f"{name}_"
    method.__qualname__ = f"Tensor.{name}_"
    method.__doc__ = f"x <- :meth:`x.{name}(...) <{name}>`; returns this tensor. Errors as :meth:`copy_` has them."
    return method


class NamedOperators(Pairs):
    """The operators again, as methods."""

    __slots__ = ()

    # --- arithmetic ---------------------------------------------------------------------------------------------------

    def add(self, other: Any, *, alpha: float = 1) -> "Tensor":
        """x + alpha y."""
        return self + (other if alpha == 1 else alpha * other)

    def sub(self, other: Any, *, alpha: float = 1) -> "Tensor":
        """x - alpha y."""
        return self - (other if alpha == 1 else alpha * other)

    def mul(self, other: Any) -> "Tensor":
        """x y, element by element."""
        return self * other

    def true_divide(self, other: Any) -> "Tensor":
        """x / y, element by element."""
        return self / other

    def pow(self, exponent: Any) -> "Tensor":
        """x to the power of y, element by element."""
        return self**exponent

    def neg(self) -> "Tensor":
        """-x."""
        return -self

    subtract, multiply, negative = sub, mul, neg

    def positive(self) -> Self:
        """The tensor itself."""
        return self

    def remainder(self, other: Any) -> "Tensor":
        """x % y, element by element, of the sign of y."""
        return self % other

    def maximum(self, other: Any) -> "Tensor":
        """The larger of x and y, element by element."""
        return apply(elementwise.Maximum(), *paired(self, other))

    def minimum(self, other: Any) -> "Tensor":
        """The smaller of x and y, element by element."""
        return apply(elementwise.Minimum(), *paired(self, other))

    # --- products -----------------------------------------------------------------------------------------------------

    def matmul(self, other: Any) -> "Tensor":
        """x @ y."""
        return self @ other

    def mm(self, other: Any) -> "Tensor":
        """x @ y of two matrices."""
        return _product("mm", self, other, (2, 2), "matrices")

    def bmm(self, other: Any) -> "Tensor":
        """x @ y of two stacks of matrices."""
        return _product("bmm", self, other, (3, 3), "stacks of matrices (N, ., .)")

    def mv(self, other: Any) -> "Tensor":
        """x @ y of a matrix and a vector."""
        return _product("mv", self, other, (2, 1), "a matrix and a vector")

    def dot(self, other: Any) -> "Tensor":
        """x @ y of two vectors: the sum of the products of their elements."""
        return _product("dot", self, other, (1, 1), "vectors")

    def outer(self, other: Any) -> "Tensor":
        """x_i y_j of two vectors, (N, M)."""
        if self.ndim != 1 or np.ndim(array_of(other)) != 1:
            raise ShapeError(f"outer: expected vectors, got shapes {self.shape} and {np.shape(array_of(other))}")
        return self.reshape(-1, 1) * other

    vdot, ger = dot, outer

    # --- comparison ---------------------------------------------------------------------------------------------------

    def eq(self, other: Any) -> "Tensor":
        """x == y, element by element."""
        return self == other

    def ne(self, other: Any) -> "Tensor":
        """x != y, element by element."""
        return self != other

    def lt(self, other: Any) -> "Tensor":
        """x < y, element by element."""
        return self < other

    def le(self, other: Any) -> "Tensor":
        """x <= y, element by element."""
        return self <= other

    def gt(self, other: Any) -> "Tensor":
        """x > y, element by element."""
        return self > other

    def ge(self, other: Any) -> "Tensor":
        """x >= y, element by element."""
        return self >= other

    not_equal, less, less_equal, greater, greater_equal = ne, lt, le, gt, ge

    def logical_and(self, other: Any) -> "Tensor":
        """Whether both are true or not 0."""
        return self._truth("logical_and", other)

    def logical_or(self, other: Any) -> "Tensor":
        """Whether one is true or not 0."""
        return self._truth("logical_or", other)

    def logical_xor(self, other: Any) -> "Tensor":
        """Whether one is true or not 0, and the other is not."""
        return self._truth("logical_xor", other)

    def logical_not(self) -> "Tensor":
        """Whether it is false or 0."""
        return self == 0

    def _truth(self, name: str, other: Any) -> "Tensor":
        if not hasattr(other, "dtype"):
            raise ArgumentTypeError(f"{name}: expected a tensor, got {other!r}; compare it first, as in x > 0")
        check_devices(name, [self.data, array_of(other)])
        found = getattr(backend.array_module(self.data), name)(self.data, array_of(other))
        return without_gradient(name, found, self, other)

    def bitwise_and(self, other: Any) -> "Tensor":
        """x & y of booleans or whole numbers."""
        return self & other

    def bitwise_or(self, other: Any) -> "Tensor":
        """x | y of booleans or whole numbers."""
        return self | other

    def bitwise_xor(self, other: Any) -> "Tensor":
        """x ^ y of booleans or whole numbers."""
        return self ^ other

    def bitwise_not(self) -> "Tensor":
        """~x of booleans or whole numbers."""
        return ~self

    # --- in place, see copy_ ------------------------------------------------------------------------------------------

    add_, sub_, mul_, div_ = (_in_place(name) for name in ("add", "sub", "mul", "div"))
    pow_, neg_, remainder_, lerp_ = (_in_place(name) for name in ("pow", "neg", "remainder", "lerp"))
    addcmul_, addcdiv_, addmm_ = (_in_place(name) for name in ("addcmul", "addcdiv", "addmm"))
    exp_, log_, sqrt_, rsqrt_, square_ = (_in_place(name) for name in ("exp", "log", "sqrt", "rsqrt", "square"))
    abs_, reciprocal_, sign_, round_ = (_in_place(name) for name in ("abs", "reciprocal", "sign", "round"))
    floor_, ceil_, trunc_ = (_in_place(name) for name in ("floor", "ceil", "trunc"))
    sin_, cos_, tanh_, sigmoid_, relu_ = (_in_place(name) for name in ("sin", "cos", "tanh", "sigmoid", "relu"))
    clamp_, clip_, tril_, triu_ = (_in_place(name) for name in ("clamp", "clip", "tril", "triu"))
    masked_fill_, masked_scatter_ = (_in_place(name) for name in ("masked_fill", "masked_scatter"))
    scatter_, scatter_add_, put_ = (_in_place(name) for name in ("scatter", "scatter_add", "put"))
    scatter_reduce_ = _in_place("scatter_reduce")
    index_add_, index_copy_, index_fill_ = (_in_place(name) for name in ("index_add", "index_copy", "index_fill"))
    index_put_, cumsum_, cumprod_ = (_in_place(name) for name in ("index_put", "cumsum", "cumprod"))

    def fill_diagonal_(self, fill_value: float, wrap: bool = False) -> Self:
        """Make the elements whose places are equal along all axes this number; returns this tensor.

        Args:
            wrap: of a matrix with more rows than columns: begin anew, a row below the end of each diagonal.
        Raises:
            ShapeError: the tensor has fewer than two axes, or more of different lengths.
        """
        if self.ndim < 2 or (self.ndim > 2 and len(set(self.shape)) > 1):
            raise ShapeError(f"fill_diagonal_: expected a matrix, or axes of one length, got {self.shape}")
        flags = np.zeros(self.shape, dtype=bool)
        np.fill_diagonal(flags, True, wrap=bool(wrap))
        return self.masked_fill_(flags, fill_value)

    def normal_(self, mean: float = 0.0, std: float = 1.0) -> Self:
        """Draw each element from a normal distribution; returns this tensor."""
        return self.copy_(random.next_generator("normal_").normal(mean, std, self.shape))

    def uniform_(self, from_: float = 0.0, to: float = 1.0) -> Self:
        """Draw each element evenly from a range; returns this tensor."""
        return self.copy_(random.next_generator("uniform_").uniform(from_, to, self.shape))

    def bernoulli_(self, p: Any = 0.5) -> Self:
        """Make each element 1 with this probability, a number or a tensor of them, else 0; returns this tensor."""
        drawn = random.next_generator("bernoulli_").uniform(size=self.shape)
        return self.copy_(drawn < backend.to_host(array_of(p)))

    def exponential_(self, lambd: float = 1.0) -> Self:
        """Draw each element from an exponential distribution of mean 1 / lambd; returns this tensor."""
        return self.copy_(random.next_generator("exponential_").exponential(1 / lambd, self.shape))

    def random_(self, from_: int = 0, to: int | None = None) -> Self:
        """Draw whole numbers from a range without its end, ``random_(10)`` from 0..9; returns this tensor.

        Raises:
            ArgumentError: the range is empty.
        """
        low, high = (0, from_) if to is None else (from_, to)
        if not low < high:
            raise ArgumentError(f"random_: expected a range, got {low}..{high}")
        return self.copy_(random.next_generator("random_").integers(low, high, self.shape))


def _product(name: str, a: Operators, b: Any, axes: tuple[int, int], what: str) -> "Tensor":
    shapes = a.shape, np.shape(array_of(b))
    if (len(shapes[0]), len(shapes[1])) != axes:
        raise ShapeError(f"{name}: expected {what}, got shapes {shapes[0]} and {shapes[1]}; x @ y takes others too")
    return a @ b
