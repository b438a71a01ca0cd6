"""Activations of one formula and its derivative, each a function and its layer; see :mod:`~dlcourse.nn.activation`."""

from typing import Any

from dlcourse.autograd import Tensor, apply
from dlcourse.autograd.elementwise import Curve, Piecewise
from dlcourse.backend.device import Array
from dlcourse.backend.kernels.activation import logistic
from dlcourse.errors import ArgumentError
from dlcourse.nn.activation import Activation, refuse_in_place
from dlcourse.nn.module import Module

__all__ = ["CELU", "SELU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "LogSigmoid", "Mish", "ReLU6"]
__all__ += ["Softshrink", "Softsign", "Tanhshrink", "Threshold"]
__all__ += ["celu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "logsigmoid", "mish", "relu6", "selu"]
__all__ += ["softshrink", "softsign", "tanhshrink", "threshold"]

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
"""With which layers keep mean 0 and variance 1 (Klambauer et al. 2017, equation 14)."""


def selu(x: Tensor, inplace: bool = False) -> Tensor:
    """s x where x > 0, else s a (e^x - 1), s = 1.0507, a = 1.6733; slope s or s a e^x. (Klambauer et al. 2017.)"""
    refuse_in_place("selu", inplace)
    outer = SELU_SCALE * SELU_ALPHA

    def value(xp: Any, x: Array) -> Array:
        return SELU_SCALE * xp.maximum(x, 0) + outer * _expm1(xp, xp.minimum(x, 0))

    def slope(xp: Any, x: Array) -> Array:
        return xp.where(x > 0, x.dtype.type(SELU_SCALE), outer * xp.exp(xp.minimum(x, 0)))

    return apply(Curve("selu", value, slope), x)


class SELU(Activation):
    """s x where x > 0, else s a (e^x - 1): with weights of variance 1 / fan_in layers keep mean 0 and variance 1."""

    name = "selu"
    gain = 1.0

    def forward(self, x: Tensor) -> Tensor:
        return selu(x)


def celu(x: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where x > 0, else a (e^(x / a) - 1); slope 1 or e^(x / a). (Barron 2017.)"""
    refuse_in_place("celu", inplace)
    if not alpha:
        raise ArgumentError("celu: alpha is not 0")

    def value(xp: Any, x: Array) -> Array:
        return xp.maximum(x, 0) + alpha * _expm1(xp, xp.minimum(x, 0) / alpha)

    def slope(xp: Any, x: Array) -> Array:
        return xp.exp(xp.minimum(x, 0) / alpha)

    return apply(Curve("celu", value, slope), x)


class CELU(Activation):
    """x where x > 0, else ``alpha`` (e^(x / alpha) - 1)."""

    name = "celu"

    def __init__(self, alpha: float = 1.0):
        super().__init__()
        if not alpha:
            raise ArgumentError("CELU: alpha is not 0")
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        return celu(x, self.alpha)


def mish(x: Tensor, inplace: bool = False) -> Tensor:
    """x t with t = tanh(softplus(x)); slope t + x s (1 - t^2), s the logistic function. (Misra 2019.)

    With w = e^x and n = w (w + 2) it is t = n / (n + 2) and 1 - t^2 = 4 (n + 1) / (n + 2)^2; beyond x = 20 t is 1.
    """
    refuse_in_place("mish", inplace)

    def powers(xp: Any, x: Array) -> tuple[Array, Array]:
        w = xp.exp(xp.minimum(x, 20))
        return w, w * (w + 2)

    def value(xp: Any, x: Array) -> Array:
        _, n = powers(xp, x)
        return x * (n / (n + 2))

    def slope(xp: Any, x: Array) -> Array:
        w, n = powers(xp, x)
        return n / (n + 2) + x * (w / (1 + w)) * (4 * (n + 1) / (n + 2) / (n + 2))

    return apply(Curve("mish", value, slope), x)


class Mish(Activation):
    """x tanh(log(1 + e^x))."""

    name = "mish"

    def forward(self, x: Tensor) -> Tensor:
        return mish(x)


def softsign(x: Tensor) -> Tensor:
    """x / (1 + |x|); slope 1 / (1 + |x|)^2. (Turian et al. 2009.)"""

    def slope(xp: Any, x: Array) -> Array:
        root = 1 / (1 + xp.abs(x))
        return root * root

    return apply(Curve("softsign", lambda xp, x: x / (1 + xp.abs(x)), slope), x)


class Softsign(Activation):
    """x / (1 + |x|)."""

    name = "softsign"
    gain = 1.0
    saturates = True

    def forward(self, x: Tensor) -> Tensor:
        return softsign(x)


def logsigmoid(x: Tensor) -> Tensor:
    """log(1 / (1 + e^-x)) = min(x, 0) - log(1 + e^-|x|); slope 1 / (1 + e^x)."""

    def value(xp: Any, x: Array) -> Array:
        return xp.minimum(x, 0) - xp.log1p(xp.exp(-xp.abs(x)))

    return apply(Curve("logsigmoid", value, lambda xp, x: logistic(xp, -x)), x)


class LogSigmoid(Activation):
    """log(1 / (1 + e^-x)), without overflow."""

    name = "logsigmoid"
    gain = 1.0

    def forward(self, x: Tensor) -> Tensor:
        return logsigmoid(x)


def tanhshrink(x: Tensor) -> Tensor:
    """x - tanh x; slope tanh^2 x."""
    return apply(Curve("tanhshrink", lambda xp, x: x - xp.tanh(x), lambda xp, x: xp.tanh(x) ** 2), x)


class Tanhshrink(Activation):
    """x - tanh x."""

    name = "tanhshrink"

    def forward(self, x: Tensor) -> Tensor:
        return tanhshrink(x)


def hardswish(x: Tensor, inplace: bool = False) -> Tensor:
    """x c / 6, c = x + 3 cut to 0..6; slope x / 3 + 1/2 between -3 and 3, 0 below, 1 above. (Howard et al. 2019.)"""
    refuse_in_place("hardswish", inplace)

    def slope(xp: Any, x: Array) -> Array:
        return xp.where(x <= -3, 0, xp.where(x < 3, x / 3 + 0.5, 1))

    return apply(Curve("hardswish", lambda xp, x: x * (xp.clip(x + 3, 0, 6) / 6), slope), x)


class Hardswish(Activation):
    """x min(max(x + 3, 0), 6) / 6: SiLU of straight lines and a parabola."""

    name = "hardswish"

    def forward(self, x: Tensor) -> Tensor:
        return hardswish(x)


def hardsigmoid(x: Tensor, inplace: bool = False) -> Tensor:
    """x / 6 + 1/2 cut to 0..1; slope 1/6 between -3 and 3. (Courbariaux et al. 2015.)"""
    refuse_in_place("hardsigmoid", inplace)

    def slope(xp: Any, x: Array) -> Array:
        return ((x > -3) & (x < 3)) / x.dtype.type(6)

    return apply(Curve("hardsigmoid", lambda xp, x: xp.clip(x + 3, 0, 6) / 6, slope), x)


class Hardsigmoid(Activation):
    """x / 6 + 1/2 cut to 0..1: the logistic function of straight lines."""

    name = "hardsigmoid"
    gain = 1.0
    saturates = True

    def forward(self, x: Tensor) -> Tensor:
        return hardsigmoid(x)


def hardtanh(x: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """x cut to ``min_val``..``max_val``; slope 1 between them. (Collobert 2004.)

    Raises:
        ArgumentError: ``min_val`` is above ``max_val``.
    """
    refuse_in_place("hardtanh", inplace)
    if min_val > max_val:
        raise ArgumentError(f"hardtanh: min_val is at most max_val, got {min_val} and {max_val}")
    return _cut("hardtanh", x, min_val, max_val)


class Hardtanh(Activation):
    """x cut to ``min_val``..``max_val``."""

    name = "hardtanh"
    gain = 5 / 3
    saturates = True

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0):
        super().__init__()
        if min_val > max_val:
            raise ArgumentError(f"Hardtanh: min_val is at most max_val, got {min_val} and {max_val}")
        self.min_val, self.max_val = min_val, max_val

    def forward(self, x: Tensor) -> Tensor:
        return hardtanh(x, self.min_val, self.max_val)


def relu6(x: Tensor, inplace: bool = False) -> Tensor:
    """x cut to 0..6; slope 1 between them. (Krizhevsky 2010.)"""
    refuse_in_place("relu6", inplace)
    return _cut("relu6", x, 0.0, 6.0)


class ReLU6(Activation):
    """x cut to 0..6."""

    name = "relu6"

    def forward(self, x: Tensor) -> Tensor:
        return relu6(x)


def softshrink(x: Tensor, lambd: float = 0.5) -> Tensor:
    """x - l where x > l, x + l where x < -l, else 0; slope 1 beside -l..l.

    Raises:
        ArgumentError: ``lambd`` is negative.
    """
    _require_width("softshrink", lambd)

    def value(xp: Any, x: Array) -> Array:
        return x - xp.clip(x, -lambd, lambd)

    return apply(Piecewise("softshrink", value, lambda xp, x: xp.abs(x) > lambd), x)


class Softshrink(Activation):
    """x moved towards 0 by ``lambd``, and 0 within: the proximal step of an L1 penalty."""

    name = "softshrink"

    def __init__(self, lambd: float = 0.5):
        super().__init__()
        _require_width("Softshrink", lambd)
        self.lambd = lambd

    def forward(self, x: Tensor) -> Tensor:
        return softshrink(x, self.lambd)


def hardshrink(x: Tensor, lambd: float = 0.5) -> Tensor:
    """x where |x| > l, else 0; slope 1 or 0."""

    def value(xp: Any, x: Array) -> Array:
        return xp.where(xp.abs(x) <= lambd, x.dtype.type(0), x)  # NaN stays

    return apply(Piecewise("hardshrink", value, lambda xp, x: xp.abs(x) > lambd), x)


class Hardshrink(Activation):
    """x where |x| > ``lambd``, else 0."""

    name = "hardshrink"

    def __init__(self, lambd: float = 0.5):
        super().__init__()
        self.lambd = lambd

    def forward(self, x: Tensor) -> Tensor:
        return hardshrink(x, self.lambd)


def threshold(x: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x where x > ``threshold``, else ``value``; slope 1 or 0."""
    refuse_in_place("threshold", inplace)

    def cut(xp: Any, x: Array) -> Array:
        return xp.where(x <= threshold, x.dtype.type(value), x)

    return apply(Piecewise("threshold", cut, lambda xp, x: x > threshold), x)


class Threshold(Module):
    """x where x > ``threshold``, else ``value``."""

    def __init__(self, threshold: float, value: float):
        super().__init__()
        self.threshold, self.value = threshold, value

    def forward(self, x: Tensor) -> Tensor:
        return threshold(x, self.threshold, self.value)


def _expm1(xp: Any, x: Array) -> Array:
    """e^x - 1 = tanh(x / 2) (e^x + 1) with all its digits: both are fast in NumPy, whose expm1 is not."""
    return xp.tanh(0.5 * x) * (xp.exp(x) + 1)


def _cut(name: str, x: Tensor, low: float, high: float) -> Tensor:
    return apply(Piecewise(name, lambda xp, x: xp.clip(x, low, high), lambda xp, x: (x > low) & (x < high)), x)


def _require_width(name: str, lambd: float) -> None:
    if lambd < 0:
        raise ArgumentError(f"{name}: lambd is at least 0, got {lambd}")
