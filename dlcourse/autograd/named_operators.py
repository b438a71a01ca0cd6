"""A tensor's operators by PyTorch's names: ``x.add(y)`` is ``x + y``, ``x.add_(y)`` changes x in place."""

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from dlcourse import backend
from dlcourse.autograd import elementwise
from dlcourse.autograd.base import apply, array_of, new
from dlcourse.autograd.creation import paired
from dlcourse.autograd.methods import Methods, clip
from dlcourse.autograd.operators import Operators
from dlcourse.backend import random
from dlcourse.errors import ArgumentTypeError, ShapeError

if TYPE_CHECKING:
    from dlcourse.autograd.tensor import Tensor


class NamedOperators(Operators, Methods):
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

    def div(self, other: Any) -> "Tensor":
        """x / y, element by element."""
        return self / other

    def pow(self, exponent: Any) -> "Tensor":
        """x to the power of y, element by element."""
        return self**exponent

    def neg(self) -> "Tensor":
        """-x."""
        return -self

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

    def logical_and(self, other: Any) -> "Tensor":
        """Whether both are true or not 0."""
        return new(backend.array_module(self.data).logical_and(self.data, _several("logical_and", other)))

    def logical_or(self, other: Any) -> "Tensor":
        """Whether one is true or not 0."""
        return new(backend.array_module(self.data).logical_or(self.data, _several("logical_or", other)))

    def logical_not(self) -> "Tensor":
        """Whether it is false or 0."""
        return new(backend.array_module(self.data).logical_not(self.data))

    # --- in place: of a leaf under no_grad, or of what needs no gradient ----------------------------------------------

    def add_(self, other: Any, *, alpha: float = 1) -> Self:
        """x <- x + alpha y; returns this tensor. Errors as :meth:`copy_` has them, here and below."""
        return self._written("add_", lambda y: self.add(y, alpha=alpha), other)

    def sub_(self, other: Any, *, alpha: float = 1) -> Self:
        """x <- x - alpha y; returns this tensor."""
        return self._written("sub_", lambda y: self.sub(y, alpha=alpha), other)

    def mul_(self, other: Any) -> Self:
        """x <- x y; returns this tensor."""
        return self._written("mul_", self.__mul__, other)

    def div_(self, other: Any) -> Self:
        """x <- x / y; returns this tensor."""
        return self._written("div_", self.__truediv__, other)

    def clamp_(self, min: Any = None, max: Any = None) -> Self:
        """x <- x between the bounds; returns this tensor."""
        return self._written("clamp_", lambda bounds: clip(self, *bounds), (min, max))

    def masked_fill_(self, mask: Any, value: Any) -> Self:
        """x <- this number where the mask holds; returns this tensor."""
        return self._written("masked_fill_", lambda number: self.masked_fill(mask, number), value)

    def scatter_(self, dim: int, index: Any, src: Any) -> Self:
        """x[index[i][j]][j] <- src[i][j] along ``dim`` = 0, and so on; ``src`` may be a number. Returns this tensor."""
        return self._written("scatter_", lambda values: _scattered(self, dim, index, values), src)

    def normal_(self, mean: float = 0.0, std: float = 1.0) -> Self:
        """Draw each element from a normal distribution; returns this tensor."""
        drawn = random.next_generator("normal_").normal(mean, std, self.shape)
        return self._written("normal_", self._broadcast, drawn)

    def uniform_(self, from_: float = 0.0, to: float = 1.0) -> Self:
        """Draw each element evenly from a range; returns this tensor."""
        drawn = random.next_generator("uniform_").uniform(from_, to, self.shape)
        return self._written("uniform_", self._broadcast, drawn)


def _several(name: str, other: Any) -> Any:
    """Another tensor's array, or an array."""
    if not hasattr(other, "dtype"):
        raise ArgumentTypeError(f"{name}: expected a tensor, got {other!r}; compare it first, as in x > 0")
    return array_of(other)


def _product(name: str, a: Operators, b: Any, axes: tuple[int, int], what: str) -> "Tensor":
    shapes = a.shape, np.shape(array_of(b))
    if (len(shapes[0]), len(shapes[1])) != axes:
        raise ShapeError(f"{name}: expected {what}, got shapes {shapes[0]} and {shapes[1]}; x @ y takes others too")
    return a @ b


def _scattered(x: Any, dim: int, index: Any, values: Any) -> "Tensor":
    found, places = x.data.copy(), backend.of(x.data).asarray(array_of(index))
    if places.dtype.kind not in "iu" or places.ndim != x.ndim:
        raise ShapeError(f"scatter_: expected an index of whole numbers with {x.ndim} axes, got {places.dtype} "
                         f"{places.shape}")  # fmt: skip
    grids: list[Any] = list(np.indices(places.shape, sparse=True)) if places.ndim else []
    grids = [backend.of(x.data).asarray(grid) for grid in grids]
    grids[dim] = places
    given = array_of(values)
    if hasattr(given, "dtype") and given.ndim:
        given = given[tuple(slice(0, n) for n in places.shape)]
    found[tuple(grids)] = given
    return new(found)
