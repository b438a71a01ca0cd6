"""Functions of two numbers, applied to each pair of elements: a line each, with the equation and its derivatives; and
what is a sum of a product and a tensor.

The derivatives are those of DLMF, chapter 4 (https://dlmf.nist.gov/4).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dlcourse.autograd import axes, elementwise
from dlcourse.autograd.base import TensorBase, apply, array_of, new
from dlcourse.autograd.creation import as_tensor, paired
from dlcourse.autograd.function import Function, shape_of, unbroadcast, xp_of
from dlcourse.autograd.methods import Methods
from dlcourse.autograd.operators import Operators
from dlcourse.backend.device import Array
from dlcourse.backend.kernels.remainder import remainder
from dlcourse.backend.precision import is_floating
from dlcourse.errors import ArgumentError, ArgumentTypeError, ShapeError

if TYPE_CHECKING:
    from dlcourse.autograd.tensor import Tensor

PAIR_FORMULAS: list[str] = []
"""The names of the functions below that a formula gives."""


class PairFormula(Function):
    """y = f(a, b); da = dy df/da, db = dy df/db, summed over what was broadcast, and 0 where dy = 0.

    Args:
        name: of the function, for messages.
        value: f of the array library, a and b.
        slopes: df/da and df/db of the array library, a, b and y.
        fractional: whether whole numbers come as float32.
    """

    compute_in_float32 = True

    def __init__(self, name: str, value: Callable, slopes: tuple[Callable, Callable], fractional: bool):
        self.name, self.value, self.slopes, self.fractional = name, value, slopes, fractional

    def forward(self, a: Any, b: Any) -> Array:
        y = self.value(xp_of(a, b), a, b)
        self.inputs, self.y = (a, b), y
        return y

    def backward(self, dout: Array) -> tuple:
        xp = xp_of(dout)

        def gradient(x: Any, slope: Callable) -> Array:
            found = dout * xp.asarray(slope(xp, *self.inputs, self.y)).astype(dout.dtype, copy=False)
            return unbroadcast(xp.where(dout == 0, dout, found), shape_of(x))

        pairs = zip(self.inputs, self.slopes, self.needs_input_grad, strict=True)
        return tuple(gradient(x, slope) if need else None for x, slope, need in pairs)


def pair_formula(name: str, doc: str, value: Callable, *slopes: Callable, fractional: bool = True) -> Callable:
    """The method of that name; arguments as :class:`PairFormula` has them."""

    def method(self: TensorBase, other: Any) -> "Tensor":
        return apply(PairFormula(name, value, slopes, fractional), *paired(self, other))  # type: ignore[arg-type]

    method.__name__, method.__qualname__, method.__doc__ = name, f"Tensor.{name}", doc
    PAIR_FORMULAS.append(name)
    return method


def _share(xp: Any, first: Any, second: Any) -> Any:
    """Of the gradient of the larger of two: 1, 0, or half where they are equal or the second is no number."""
    alone = xp.asarray(second != second)  # of a Python number no array
    return (first > second) + 0.5 * xp.asarray(first == second) + 1.0 * alone


def _times(factor: float, x: Any) -> Any:
    return x if factor == 1 else factor * x


class Pairs(Operators, Methods):
    """A tensor's functions of two numbers."""

    __slots__ = ()

    atan2 = arctan2 = pair_formula(
        "atan2", "The angle of the point (y, x) = (a, b); da = dy b / (a^2 + b^2), db = -dy a / (a^2 + b^2).",
        lambda xp, a, b: xp.arctan2(a, b),
        lambda xp, a, b, y: b / (a * a + b * b), lambda xp, a, b, y: -a / (a * a + b * b))  # fmt: skip
    hypot = pair_formula(
        "hypot", "sqrt(a^2 + b^2); da = dy a / y, db = dy b / y.",
        lambda xp, a, b: xp.hypot(a, b), lambda xp, a, b, y: a / y, lambda xp, a, b, y: b / y)  # fmt: skip
    logaddexp = pair_formula(
        "logaddexp", "log(e^a + e^b) without overflow; da = dy e^(a - y), db = dy e^(b - y).",
        lambda xp, a, b: xp.logaddexp(a, b),
        lambda xp, a, b, y: xp.exp(a - y), lambda xp, a, b, y: xp.exp(b - y))  # fmt: skip
    logaddexp2 = pair_formula(
        "logaddexp2", "log2(2^a + 2^b) without overflow; da = dy 2^(a - y), db = dy 2^(b - y).",
        lambda xp, a, b: xp.logaddexp2(a, b),
        lambda xp, a, b, y: xp.exp2(a - y), lambda xp, a, b, y: xp.exp2(b - y))  # fmt: skip
    xlogy = pair_formula(
        "xlogy", "a log b, 0 where a is 0; da = dy log b, db = dy a / b.",
        lambda xp, a, b: xp.where(xp.logical_and(a == 0, b == b), 0, a * xp.log(b)),
        lambda xp, a, b, y: xp.where(xp.logical_and(a == 0, b <= 0), 0, xp.log(b)) + 0 * y,
        lambda xp, a, b, y: a / b)  # fmt: skip
    fmod = pair_formula(
        "fmod", "a - b trunc(a / b), of the sign of a; da = dy, db = -dy trunc(a / b).",
        lambda xp, a, b: remainder(a, b, True),
        lambda xp, a, b, y: xp.ones_like(y), lambda xp, a, b, y: -xp.trunc(a / b), fractional=False)  # fmt: skip
    fmax = pair_formula(
        "fmax", "The larger of two, and the number beside one that is none; equal ones share the gradient.",
        lambda xp, a, b: xp.fmax(a, b),
        lambda xp, a, b, y: _share(xp, a, b), lambda xp, a, b, y: _share(xp, b, a), fractional=False)  # fmt: skip
    fmin = pair_formula(
        "fmin", "The smaller of two, and the number beside one that is none; equal ones share the gradient.",
        lambda xp, a, b: xp.fmin(a, b),
        lambda xp, a, b, y: _share(xp, b, a), lambda xp, a, b, y: _share(xp, a, b), fractional=False)  # fmt: skip
    copysign = pair_formula(
        "copysign", "|a| with the sign of b; da = dy sign a sign b, db = 0.",
        lambda xp, a, b: xp.copysign(a, b),
        lambda xp, a, b, y: xp.sign(y) * xp.sign(a), lambda xp, a, b, y: xp.zeros_like(y))  # fmt: skip

    def heaviside(self, values: Any) -> "Tensor":
        """0 below 0, 1 above, and at 0 the element of ``values``, element by element; without a gradient.

        Raises:
            ArgumentTypeError: the values are no tensor of this type.
        """
        if not isinstance(values, TensorBase) or values.dtype != self.dtype:
            found = values.dtype if isinstance(values, TensorBase) else f"a {type(values).__name__}"
            raise ArgumentTypeError(f"heaviside: expected values, a tensor of {self.dtype}, got {found}")
        a, b = self.data, values.data
        xp = xp_of(a, b)
        return new(xp.where(a == 0, b, a > 0).astype(a.dtype))

    # --- quotients ----------------------------------------------------------------------------------------------------

    def div(self, other: Any, *, rounding_mode: str | None = None) -> "Tensor":
        """x / y, element by element; rounded down with ``rounding_mode="floor"``, towards 0 with ``"trunc"``, and then
        with a gradient of 0 and of whole numbers a whole number.

        Raises:
            ArgumentError: another mode.
        """
        if rounding_mode not in (None, "floor", "trunc"):
            raise ArgumentError(f"div: rounding_mode is None, 'floor' or 'trunc', got {rounding_mode!r}")
        if rounding_mode is None:
            return self / other
        a, b = paired(self, other)
        if not any(is_floating(one.dtype) for one in (a, b) if hasattr(one, "dtype")):
            a, b = array_of(a), array_of(b)
            down = a // b
            if rounding_mode == "trunc":
                down = down + ((down < 0) & (down * b != a))
            return new(xp_of(a, b).asarray(down))
        quotient = apply(elementwise.Div(), a, b)
        return quotient.floor() if rounding_mode == "floor" else quotient.trunc()

    divide = div

    def floor_divide(self, other: Any) -> "Tensor":
        """x / y rounded down, element by element; its gradient is 0."""
        return self.div(other, rounding_mode="floor")

    # --- between two --------------------------------------------------------------------------------------------------

    def lerp(self, end: Any, weight: Any) -> "Tensor":
        """x + w (y - x), element by element: x at w = 0, y at w = 1."""
        return self + weight * (end - self)

    def addcmul(self, tensor1: Any, tensor2: Any, *, value: float = 1) -> "Tensor":
        """x + value a b, element by element."""
        return self + _times(value, tensor1 * tensor2)

    def addcdiv(self, tensor1: Any, tensor2: Any, *, value: float = 1) -> "Tensor":
        """x + value a / b, element by element."""
        return self + _times(value, tensor1 / tensor2)

    def isclose(self, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> "Tensor":
        """Whether |a - b| <= atol + rtol |b| of each pair; without a gradient.

        Raises:
            ArgumentError: a tolerance is negative.
        """
        if rtol < 0 or atol < 0:
            raise ArgumentError(f"isclose: tolerances are at least 0, got rtol={rtol} and atol={atol}")
        a, b = paired(self, other)
        a, b = array_of(a), array_of(b)
        xp = xp_of(a, b)
        return new(xp.asarray(xp.isclose(a, b, rtol=rtol, atol=atol, equal_nan=equal_nan)))

    def dist(self, other: Any, p: float = 2) -> "Tensor":
        """The p-norm of x - y."""
        return (self - other).norm(p)

    # --- products and sums --------------------------------------------------------------------------------------------

    def inner(self, other: Any) -> "Tensor":
        """sum_k a_ik b_jk over the last axes of both; with a number their product."""
        other = as_tensor(other, like=self)
        if not self.ndim or not other.ndim:
            return self * other
        if other.ndim == 1:
            return self @ other
        rows = self @ other.reshape(-1, other.shape[-1]).T
        return rows.reshape(*self.shape[:-1], *other.shape[:-1])

    def addmm(self, mat1: Any, mat2: Any, *, beta: float = 1, alpha: float = 1) -> "Tensor":
        """beta x + alpha a @ b, of matrices a (N, K) and b (K, M)."""
        return self._plus("addmm", mat1.mm(mat2), beta, alpha)

    def addmv(self, mat: Any, vec: Any, *, beta: float = 1, alpha: float = 1) -> "Tensor":
        """beta x + alpha a @ v, of a matrix and a vector."""
        return self._plus("addmv", mat.mv(vec), beta, alpha)

    def addr(self, vec1: Any, vec2: Any, *, beta: float = 1, alpha: float = 1) -> "Tensor":
        """beta x + alpha v w^T, of two vectors."""
        return self._plus("addr", vec1.outer(vec2), beta, alpha)

    def baddbmm(self, batch1: Any, batch2: Any, *, beta: float = 1, alpha: float = 1) -> "Tensor":
        """beta x + alpha a @ b, of stacks of matrices (N, ., .)."""
        return self._plus("baddbmm", batch1.bmm(batch2), beta, alpha)

    def addbmm(self, batch1: Any, batch2: Any, *, beta: float = 1, alpha: float = 1) -> "Tensor":
        """beta x + alpha sum_n a_n @ b_n, of stacks of matrices."""
        return self._plus("addbmm", batch1.bmm(batch2).sum(0), beta, alpha)

    def _plus(self, name: str, product: "Tensor", beta: float, alpha: float) -> "Tensor":
        widened = (1,) * (product.ndim - self.ndim) + self.shape
        if len(widened) > product.ndim or any(n not in (1, m) for n, m in zip(widened, product.shape, strict=True)):
            raise ShapeError(f"{name}: a tensor of shape {self.shape} does not go to the product's {product.shape}")
        scaled = _times(alpha, product)
        return scaled + _times(beta, self) if beta else scaled  # not 0 x, which would be NaN where x is infinite

    @axes.also_axis
    def cross(self, other: Any, dim: int | None = None) -> "Tensor":
        """The vector product a x b of vectors of three elements along an axis, the first of length 3 if left out.

        Raises:
            ShapeError: there is no such axis.
        """
        if dim is None:
            dim = next((i for i, n in enumerate(self.shape) if n == 3), None)
        other = as_tensor(other, like=self)
        dim = None if dim is None else axes.single("cross", self.shape, dim)
        if dim is None or self.ndim != other.ndim or self.shape[dim] != 3 or other.shape[dim] != 3:
            raise ShapeError(f"cross: expected vectors of 3 elements along dim, got {self.shape} and {other.shape}")
        a, b = self, other
        return a.roll(-1, dim) * b.roll(-2, dim) - a.roll(-2, dim) * b.roll(-1, dim)
