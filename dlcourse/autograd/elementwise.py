"""Arithmetic element by element, with NumPy's broadcasting. Each operand is an array or a Python number."""

from collections.abc import Callable
from typing import Any

from dlcourse.autograd.function import Function, shape_of, unbroadcast, xp_of
from dlcourse.backend.device import Array
from dlcourse.backend.kernels.activation import add, relu, relu_grad, sigmoid, sigmoid_grad
from dlcourse.backend.kernels.cast import astype
from dlcourse.backend.kernels.half import half_among
from dlcourse.backend.kernels.mapped import mapped
from dlcourse.backend.kernels.remainder import remainder
from dlcourse.backend.kernels.select import chosen, selected


class Curve(Function):
    """y = f(x); dx = dy f'(x), with f and f' of the array library and x.

    Args:
        name: of the function, for messages.
        value, slope: f and f'. A subclass may have both as methods, and ``name`` as an attribute of the class.
    """

    elementwise = True
    compute_in_float32 = True
    fractional = True
    name: str
    value: Callable
    slope: Callable

    def __init__(self, name: str, value: Callable, slope: Callable):
        self.name, self.value, self.slope = name, value, slope

    def forward(self, x: Array) -> Array:
        self.x = x
        return mapped(x, None, self.value)

    def backward(self, dout: Array) -> Array:
        slope = self.slope
        return mapped(dout, self.x, lambda xp, dout, x: dout * slope(xp, x))


class Piecewise(Curve):
    """y = f(x); dx = dy f'(x), where f' is given as the flag of where it is not 0: exactly 0 beside it."""

    def backward(self, dout: Array) -> Array:
        slope = self.slope
        return mapped(dout, self.x, lambda xp, dout, x: selected(dout, slope(xp, x)))


class Add(Function):
    """y = a + b; da = dy, db = dy."""

    elementwise = True

    def forward(self, a: Any, b: Any) -> Array:
        self.shapes = shape_of(a), shape_of(b)
        # Two arrays of one shape and type, as where branches of a net meet, have a kernel; broadcasting has none.
        alike = self.shapes[0] and self.shapes[0] == self.shapes[1] and a.dtype == b.dtype
        return add(a, b) if alike else self._sum(a, b)

    def _sum(self, a: Any, b: Any) -> Array:
        total, half = a + b, half_among((a, b))
        number = not (self.shapes[0] and self.shapes[1])  # which NumPy lets turn bfloat16 into float32
        return total.astype(half, copy=False) if half is not None and number else total

    def backward(self, dout: Array) -> tuple:
        da = unbroadcast(dout, self.shapes[0]) if self.needs_input_grad[0] else None
        db = unbroadcast(dout, self.shapes[1]) if self.needs_input_grad[1] else None
        return da, db


class Sub(Function):
    """y = a - b; da = dy, db = -dy."""

    elementwise = True
    compute_in_float32 = True

    def forward(self, a: Any, b: Any) -> Array:
        self.shapes = shape_of(a), shape_of(b)
        return a - b

    def backward(self, dout: Array) -> tuple:
        da = unbroadcast(dout, self.shapes[0]) if self.needs_input_grad[0] else None
        db = -unbroadcast(dout, self.shapes[1]) if self.needs_input_grad[1] else None
        return da, db


class Mul(Function):
    """y = a b; da = dy b, db = dy a."""

    elementwise = True
    compute_in_float32 = True

    def forward(self, a: Any, b: Any) -> Array:
        self.shapes = shape_of(a), shape_of(b)
        self.a, self.b = (
            a if self.needs_input_grad[1] else None,
            b if self.needs_input_grad[0] else None,
        )  # no more than the gradients need
        return a * b

    def backward(self, dout: Array) -> tuple:
        da = unbroadcast(dout * self.b, self.shapes[0]) if self.needs_input_grad[0] else None
        db = unbroadcast(dout * self.a, self.shapes[1]) if self.needs_input_grad[1] else None
        return da, db


class Div(Function):
    """y = a / b; da = dy / b, db = -dy a / b^2."""

    elementwise = True
    compute_in_float32 = True
    fractional = True

    def forward(self, a: Any, b: Any) -> Array:
        self.shapes = shape_of(a), shape_of(b)
        self.a, self.b = a if self.needs_input_grad[1] else None, b
        return a / b

    def backward(self, dout: Array) -> tuple:
        da = unbroadcast(dout / self.b, self.shapes[0]) if self.needs_input_grad[0] else None
        # a / b first: dy / b overflows of a tiny b, and its product with an a / b of 0 is not a number.
        db = unbroadcast(-dout * (self.a / self.b / self.b), self.shapes[1]) if self.needs_input_grad[1] else None
        return da, db


class Neg(Function):
    """y = -x; dx = -dy."""

    elementwise = True

    def forward(self, x: Array) -> Array:
        return -x

    def backward(self, dout: Array) -> Array:
        return -dout


class Pow(Function):
    """y = a^b; da = dy b a^(b-1), 0 where b = 0; db = dy y log a, 0 where a = 0 and b >= 0, as PyTorch has it."""

    elementwise = True
    compute_in_float32 = True

    def forward(self, a: Any, b: Any) -> Array:
        self.a, self.b = a, b
        self.y = _power(a, b)
        return self.y

    def backward(self, dout: Array) -> tuple:
        a, b, xp = self.a, self.b, xp_of(dout)
        da = db = None
        if self.needs_input_grad[0]:
            # b = 0 is a constant: its gradient is 0 even where a^(b-1) is infinite.
            slope = b * _power(a, b - 1) if isinstance(b, int | float) else b * a ** (b - (b != 0))
            da = unbroadcast(xp.where(xp.asarray(b != 0), dout * slope, 0), shape_of(a))
        if self.needs_input_grad[1]:
            nothing = xp.logical_and(xp.asarray(a == 0), self.b >= 0)
            log_a = xp.log(xp.where(nothing, 1, a)).astype(dout.dtype)
            db = unbroadcast(xp.where(nothing, 0, dout * self.y * log_a), shape_of(b))
        return da, db


def _power(a: Any, b: Any) -> Any:
    """a^b, small whole powers by multiplication: NumPy's ``x ** 3`` is two hundred times slower than ``x * x * x``."""
    if not isinstance(b, int | float) or b not in (2, 3, 4):
        return a**b
    square = a * a
    return square if b == 2 else square * a if b == 3 else square * square


class Exp(Function):
    """y = e^x; dx = dy y."""

    elementwise = True
    fractional = True

    def forward(self, x: Array) -> Array:
        self.y = xp_of(x).exp(x)
        return self.y

    def backward(self, dout: Array) -> Array:
        return dout * self.y


class Log(Function):
    """y = log x, the natural logarithm; dx = dy / x, and 0 where dy = 0: what is masked later does not count."""

    elementwise = True
    fractional = True

    def forward(self, x: Array) -> Array:
        self.x = x
        return xp_of(x).log(x)

    def backward(self, dout: Array) -> Array:
        return _quotient(dout, self.x)


class Sqrt(Function):
    """y = sqrt x; dx = dy / (2 y), and 0 where dy = 0: what is masked later does not count."""

    elementwise = True
    fractional = True

    def forward(self, x: Array) -> Array:
        self.y = xp_of(x).sqrt(x)
        return self.y

    def backward(self, dout: Array) -> Array:
        return _quotient(dout, 2 * self.y)


def _quotient(dout: Array, divisor: Array) -> Array:
    """dy / d, 0 where dy = 0."""
    xp = xp_of(dout)
    nothing = dout == 0
    return xp.where(nothing, dout, dout / xp.where(nothing, 1, divisor).astype(dout.dtype, copy=False))


class ReLU(Function):
    """y = max(x, 0); dx = dy where x > 0, else 0 (so 0 at x = 0, as PyTorch has it)."""

    elementwise = True

    def forward(self, x: Array) -> Array:
        self.y = relu(x)
        return self.y

    def backward(self, dout: Array) -> Array:
        return relu_grad(dout, self.y)


class Tanh(Function):
    """y = tanh x; dx = dy (1 - y^2)."""

    elementwise = True
    compute_in_float32 = True
    fractional = True

    def forward(self, x: Array) -> Array:
        self.y = xp_of(x).tanh(x)
        return self.y

    def backward(self, dout: Array) -> Array:
        return dout * (1 - self.y * self.y)


class Sigmoid(Function):
    """y = 1 / (1 + e^-x); dx = dy y (1 - y). Both keep their digits where y is near 0, dx also where it is near 1."""

    elementwise = True
    fractional = True

    def forward(self, x: Array) -> Array:
        self.x = x
        return sigmoid(x)

    def backward(self, dout: Array) -> Array:
        return sigmoid_grad(dout, self.x)


class Square(Function):
    """y = x^2; dx = 2 dy x."""

    elementwise = True
    compute_in_float32 = True

    def forward(self, x: Array) -> Array:
        self.x = x
        return x * x

    def backward(self, dout: Array) -> Array:
        return 2 * dout * self.x


class Reciprocal(Function):
    """y = 1 / x; dx = -dy y^2."""

    elementwise = True
    compute_in_float32 = True
    fractional = True

    def forward(self, x: Array) -> Array:
        self.y = 1 / x
        return self.y

    def backward(self, dout: Array) -> Array:
        return -dout * (self.y * self.y)


class Abs(Function):
    """y = |x|; dx = dy sign x, which is 0 at x = 0 and, as PyTorch has it, at NaN."""

    elementwise = True

    def forward(self, x: Array) -> Array:
        self.x = x
        return abs(x)

    def backward(self, dout: Array) -> Array:
        return selected(dout * xp_of(dout).sign(self.x), xp_of(dout).asarray(abs(self.x) > 0))


class Clip(Function):
    """y = min(max(x, low), high); dx = dy inside the bounds (both included), dlow = dy below, dhigh = dy above.

    A bound is a number, an array, or None where there is none. Where low > high, y is high and dhigh is dy.
    """

    elementwise = True
    compute_in_float32 = True

    def forward(self, x: Array, low: Any, high: Any) -> Array:
        self.inputs = x, low, high
        return xp_of(x).clip(x, low, high)

    def backward(self, dout: Array) -> tuple:
        x, low, high = self.inputs
        xp = xp_of(dout)
        below = False if low is None else x < low
        above = False if high is None else x > high
        if low is not None and high is not None:
            crossed = xp.asarray(low > high)
            below, above = below & ~crossed, above | crossed
        inside = ~(below | above) & (x == x)  # NaN is not inside, as PyTorch has it
        return tuple(
            unbroadcast(selected(dout, xp.asarray(mask)), shape_of(value)) if need else None
            for value, mask, need in zip(self.inputs, (inside, below, above), self.needs_input_grad, strict=True)
        )


class Maximum(Function):
    """y = max(a, b) element by element; the gradient goes to the larger one, half to each where they are equal."""

    elementwise = True
    compute_in_float32 = True
    choice = "maximum"

    def forward(self, a: Any, b: Any) -> Array:
        self.a, self.b = a, b
        return getattr(xp_of(a, b), self.choice)(a, b)

    def backward(self, dout: Array) -> tuple:
        a, b, xp = self.a, self.b, xp_of(dout)
        lower, upper = xp.asarray(a < b), xp.asarray(a > b)
        lost = (lower, upper) if self.choice == "maximum" else (upper, lower)
        shared = dout * (1 - 0.5 * xp.asarray(a == b)).astype(dout.dtype)  # beside NaN both get all, as in PyTorch
        da = unbroadcast(selected(shared, ~lost[0]), shape_of(a)) if self.needs_input_grad[0] else None
        db = unbroadcast(selected(shared, ~lost[1]), shape_of(b)) if self.needs_input_grad[1] else None
        return da, db


class Minimum(Maximum):
    """y = min(a, b) element by element; the gradient goes to the smaller one, half to each where they are equal."""

    choice = "minimum"


class Where(Function):
    """y = a where the condition holds, else b; the gradient goes the same way."""

    def __init__(self, condition: Array):
        self.condition = condition

    def forward(self, a: Any, b: Any) -> Array:
        self.shapes = shape_of(a), shape_of(b)
        return chosen(self.condition, a, b)

    def backward(self, dout: Array) -> tuple:
        da = unbroadcast(selected(dout, self.condition), self.shapes[0]) if self.needs_input_grad[0] else None
        db = unbroadcast(selected(dout, ~self.condition), self.shapes[1]) if self.needs_input_grad[1] else None
        return da, db


class Cast(Function):
    """y = x in another floating-point type; dx = dy in x's."""

    def __init__(self, dtype: Any):
        self.dtype = dtype

    def forward(self, x: Array) -> Array:
        self.source = x.dtype
        return astype(x, self.dtype)

    def backward(self, dout: Array) -> Array:
        return astype(dout, self.source)


class Copy(Function):
    """y = x in memory of its own; dx = dy."""

    def forward(self, x: Array) -> Array:
        return x.copy()

    def backward(self, dout: Array) -> Array:
        return dout


class Remainder(Function):
    """y = a - b floor(a / b), of the sign of b; da = dy, db = -dy floor(a / b)."""

    compute_in_float32 = True

    def forward(self, a: Any, b: Any) -> Array:
        self.a, self.b = a, b
        return remainder(a if hasattr(a, "dtype") else xp_of(b).asarray(a, dtype=b.dtype), b, False)

    def backward(self, dout: Array) -> tuple:
        da = unbroadcast(dout, shape_of(self.a)) if self.needs_input_grad[0] else None
        if not self.needs_input_grad[1]:
            return da, None
        return da, unbroadcast(-dout * xp_of(dout).floor_divide(self.a, self.b), shape_of(self.b))
