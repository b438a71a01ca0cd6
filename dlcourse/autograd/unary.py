"""Functions of one number, applied to each element: a line each, with the equation and its derivative.

What training steps spend time in (exp, log, sqrt, tanh, relu, abs) is written out in
:mod:`~dlcourse.autograd.elementwise`. The derivatives are those of DLMF, chapter 4 (https://dlmf.nist.gov/4), and 7.2
for the error function.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dlcourse.autograd import elementwise
from dlcourse.autograd.base import TensorBase, apply
from dlcourse.autograd.function import Function, xp_of
from dlcourse.backend.device import Array
from dlcourse.backend.kernels.gamma import digamma, lgamma, trigamma
from dlcourse.backend.kernels.mapped import mapped
from dlcourse.backend.kernels.select import selected
from dlcourse.backend.kernels.special import erf, normal_cdf

if TYPE_CHECKING:
    from dlcourse.autograd.tensor import Tensor

Method = Callable[[TensorBase], "Tensor"]

FORMULAS: list[str] = []
"""The names of all functions below that have a derivative other than 0."""


class Formula(Function):
    """y = f(x); dx = dy f'(x), and 0 where dy = 0: what is masked later does not count, even where f' is infinite.

    Args:
        name: of the function, for messages.
        value: f of the array library and x.
        slope: f' of the array library and what is kept, x or y.
        keeps: which of them.
    """

    compute_in_float32 = True
    fractional = True

    def __init__(self, name: str, value: Callable, slope: Callable, keeps: str):
        self.name, self.value, self.slope, self.keeps = name, value, slope, keeps

    def forward(self, x: Array) -> Array:
        y = mapped(x, None, self.value)
        self.saved = x if self.keeps == "x" else y
        return y

    def backward(self, dout: Array) -> Array:
        return mapped(dout, self.saved, self._gradient)

    def _gradient(self, xp: Any, dout: Array, saved: Array) -> Array:
        return selected(dout * self.slope(xp, saved), dout != 0)


class Steps(Function):
    """y = f(x) for one of NumPy's functions that is constant in pieces (sign, floor, ceil, round, trunc); dx = 0."""

    compute_in_float32 = True

    def __init__(self, name: str, *settings: Any):
        self.name, self.settings = name, settings

    def forward(self, x: Array) -> Array:
        whole = x.dtype.kind in "iub" and self.name != "sign"
        return x.copy() if whole else getattr(xp_of(x), self.name)(x, *self.settings)

    def backward(self, dout: Array) -> Array:
        return xp_of(dout).zeros_like(dout)


def formula(name: str, doc: str, value: Callable, slope: Callable, keeps: str = "x") -> Method:
    """The method of that name; arguments as :class:`Formula` has them."""

    def method(self: TensorBase) -> "Tensor":
        return apply(Formula(name, value, slope, keeps), self)

    FORMULAS.append(name)
    return _named(method, name, doc)


def _steps(name: str, doc: str) -> Method:
    def method(self: TensorBase) -> "Tensor":
        return apply(Steps(name), self)

    return _named(method, name, f"{doc}; its gradient is 0.")


def _written_out(kind: type[Function], name: str, doc: str) -> Method:
    def method(self: TensorBase) -> "Tensor":
        return apply(kind(), self)

    return _named(method, name, doc)


def _named(method: Method, name: str, doc: str) -> Method:
    method.__name__, method.__qualname__, method.__doc__ = name, f"Tensor.{name}", doc
    return method


def _sinc_slope(xp: Any, x: Array) -> Array:
    return xp.where(x == 0, 0, (xp.cos(math.pi * x) - xp.sinc(x)) / xp.where(x == 0, 1, x))


class Unary(TensorBase):
    """A tensor's functions of one number."""

    __slots__ = ()

    # --- written out elsewhere ----------------------------------------------------------------------------------------

    exp = _written_out(elementwise.Exp, "exp", "e to the power of each element.")
    log = _written_out(elementwise.Log, "log", "The natural logarithm of each element.")
    sqrt = _written_out(elementwise.Sqrt, "sqrt", "The square root of each element.")
    abs = absolute = _written_out(elementwise.Abs, "abs", "The absolute value of each element.")
    tanh = _written_out(elementwise.Tanh, "tanh", "The hyperbolic tangent of each element.")
    relu = _written_out(elementwise.ReLU, "relu", "max(x, 0) of each element.")
    sigmoid = _written_out(elementwise.Sigmoid, "sigmoid", "1 / (1 + e^-x) of each element.")
    square = _written_out(elementwise.Square, "square", "The square of each element.")
    reciprocal = _written_out(elementwise.Reciprocal, "reciprocal", "1 / x of each element.")

    # --- powers and logarithms ----------------------------------------------------------------------------------------

    rsqrt = formula("rsqrt", "1 / sqrt x of each element; dx = -dy y^3 / 2.",
                    lambda xp, x: 1 / xp.sqrt(x), lambda xp, y: -0.5 * y * y * y, keeps="y")  # fmt: skip
    exp2 = formula("exp2", "2 to the power of each element; dx = dy y log 2.",
                   lambda xp, x: xp.exp2(x), lambda xp, y: y * math.log(2), keeps="y")  # fmt: skip
    expm1 = formula("expm1", "e^x - 1 of each element, with all its digits near 0; dx = dy (y + 1).",
                    lambda xp, x: xp.expm1(x), lambda xp, y: y + 1, keeps="y")  # fmt: skip
    log1p = formula("log1p", "log(1 + x) of each element, with all its digits near 0; dx = dy / (1 + x).",
                    lambda xp, x: xp.log1p(x), lambda xp, x: 1 / (1 + x))  # fmt: skip
    log2 = formula("log2", "The logarithm to base 2 of each element; dx = dy / (x log 2).",
                   lambda xp, x: xp.log2(x), lambda xp, x: 1 / (x * math.log(2)))  # fmt: skip
    log10 = formula("log10", "The logarithm to base 10 of each element; dx = dy / (x log 10).",
                    lambda xp, x: xp.log10(x), lambda xp, x: 1 / (x * math.log(10)))  # fmt: skip

    # --- angles -------------------------------------------------------------------------------------------------------

    sin = formula("sin", "The sine of each element, an angle in radians; dx = dy cos x.",
                  lambda xp, x: xp.sin(x), lambda xp, x: xp.cos(x))  # fmt: skip
    cos = formula("cos", "The cosine of each element, an angle in radians; dx = -dy sin x.",
                  lambda xp, x: xp.cos(x), lambda xp, x: -xp.sin(x))  # fmt: skip
    tan = formula("tan", "The tangent of each element, an angle in radians; dx = dy (1 + y^2).",
                  lambda xp, x: xp.tan(x), lambda xp, y: 1 + y * y, keeps="y")  # fmt: skip
    asin = arcsin = formula("asin", "The angle in -pi/2..pi/2 whose sine is each element; dx = dy / sqrt(1 - x^2).",
                            lambda xp, x: xp.arcsin(x), lambda xp, x: 1 / xp.sqrt(1 - x * x))  # fmt: skip
    acos = arccos = formula("acos", "The angle in 0..pi whose cosine is each element; dx = -dy / sqrt(1 - x^2).",
                            lambda xp, x: xp.arccos(x), lambda xp, x: -1 / xp.sqrt(1 - x * x))  # fmt: skip
    atan = arctan = formula("atan", "The angle in -pi/2..pi/2 whose tangent is each element; dx = dy / (1 + x^2).",
                            lambda xp, x: xp.arctan(x), lambda xp, x: 1 / (1 + x * x))  # fmt: skip
    deg2rad = formula("deg2rad", "Angles of degrees in radians; dx = dy pi / 180.",
                      lambda xp, x: x * (math.pi / 180), lambda xp, x: xp.full_like(x, math.pi / 180))  # fmt: skip
    rad2deg = formula("rad2deg", "Angles of radians in degrees; dx = dy 180 / pi.",
                      lambda xp, x: x * (180 / math.pi), lambda xp, x: xp.full_like(x, 180 / math.pi))  # fmt: skip

    # --- hyperbolic ---------------------------------------------------------------------------------------------------

    sinh = formula("sinh", "The hyperbolic sine of each element; dx = dy cosh x.",
                   lambda xp, x: xp.sinh(x), lambda xp, x: xp.cosh(x))  # fmt: skip
    cosh = formula("cosh", "The hyperbolic cosine of each element; dx = dy sinh x.",
                   lambda xp, x: xp.cosh(x), lambda xp, x: xp.sinh(x))  # fmt: skip
    asinh = arcsinh = formula("asinh", "The number whose hyperbolic sine is each element; dx = dy / sqrt(x^2 + 1).",
                              lambda xp, x: xp.arcsinh(x), lambda xp, x: 1 / xp.sqrt(x * x + 1))  # fmt: skip
    acosh = arccosh = formula("acosh", "The number whose hyperbolic cosine is each element; dx = dy / sqrt(x^2 - 1).",
                              lambda xp, x: xp.arccosh(x), lambda xp, x: 1 / xp.sqrt(x * x - 1))  # fmt: skip
    atanh = arctanh = formula("atanh", "The number whose hyperbolic tangent is each element; dx = dy / (1 - x^2).",
                              lambda xp, x: xp.arctanh(x), lambda xp, x: 1 / (1 - x * x))  # fmt: skip

    # --- of statistics ------------------------------------------------------------------------------------------------

    erf = formula("erf", "2/sqrt(pi) integral_0^x e^(-t^2) dt of each element; dx = dy 2/sqrt(pi) e^(-x^2).",
                  lambda xp, x: erf(x), lambda xp, x: (2 / math.sqrt(math.pi)) * xp.exp(-x * x))  # fmt: skip
    erfc = formula("erfc", "1 - erf x of each element, with all its digits; dx = -dy 2/sqrt(pi) e^(-x^2).",
                   lambda xp, x: 2 * normal_cdf(x * -math.sqrt(2)),
                   lambda xp, x: (-2 / math.sqrt(math.pi)) * xp.exp(-x * x))  # fmt: skip
    sinc = formula("sinc", "sin(pi x) / (pi x) of each element, 1 at 0; dx = dy (cos(pi x) - y) / x, 0 at 0.",
                   lambda xp, x: xp.sinc(x), lambda xp, x: _sinc_slope(xp, x))  # fmt: skip

    lgamma = formula("lgamma", "log |Gamma(x)| of each element, Gamma(n + 1) being n!; dx = dy psi(x).",
                     lambda xp, x: lgamma(x), lambda xp, x: digamma(x))  # fmt: skip
    digamma = formula("digamma", "psi(x) = d log |Gamma(x)| / dx of each element; dx = dy psi'(x).",
                      lambda xp, x: digamma(x), lambda xp, x: trigamma(x))  # fmt: skip

    # --- constant in pieces -------------------------------------------------------------------------------------------

    sign = _steps("sign", "-1, 0 or 1 by the sign of each element")
    floor = _steps("floor", "The largest whole number that is no larger than each element")
    ceil = _steps("ceil", "The smallest whole number that is no smaller than each element")
    trunc = fix = _steps("trunc", "Each element without its fraction")

    def round(self, *, decimals: int = 0) -> "Tensor":
        """The nearest whole number, of two the even one, or the nearest with so many decimals; its gradient is 0."""
        return apply(Steps("round", decimals), self)

    def frac(self) -> "Tensor":
        """The fraction of each element, of its sign: x - trunc x; dx = dy."""
        return apply(elementwise.Sub(), self, self.trunc())

    def logit(self, eps: float | None = None) -> "Tensor":
        """log(x / (1 - x)) of each element, brought into eps..1 - eps before that where eps is given."""
        inside = self if eps is None else apply(elementwise.Clip(), self, eps, 1 - eps)
        return apply(Formula("logit", lambda xp, x: xp.log(x / (1 - x)), lambda xp, x: 1 / (x * (1 - x)), "x"), inside)
