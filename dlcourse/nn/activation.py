"""Activations (lecture 4; Goodfellow, Bengio & Courville, section 6.3), each in three steps, one below the other.

A ``Function`` has the equation, the gradient and their passes over arrays; the function that ``dlcourse.functional``
shows applies it to a tensor; the layer has what a config and the initial weights have to know. The
``Function`` of ReLU, tanh and the logistic function, which tensors have as methods, are in ``autograd/elementwise.py``.
"""

from math import sqrt
from typing import Any, ClassVar

from dlcourse.autograd import Function, Tensor, apply, elementwise
from dlcourse.autograd.elementwise import Curve, Piecewise, halves, logistic
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import activation as kernels
from dlcourse.backend.kernels.select import chosen
from dlcourse.errors import ArgumentTypeError
from dlcourse.habits import refused_option
from dlcourse.nn.module import Module

__all__ = ["ACTIVATIONS", "Activation"]
__all__ += ["ELU", "GELU", "LeakyReLU", "ReLU", "SiLU", "Sigmoid", "Softplus", "Tanh"]
__all__ += ["elu", "gelu", "leaky_relu", "relu", "sigmoid", "silu", "softplus", "tanh"]


ACTIVATIONS: dict[str, type["Activation"]] = {}
"""By the name that a config gives, in the order in which they are defined."""


class Activation(Module):
    """A function of each number by itself, which ``activation: name`` of a config puts between linear layers."""

    name: ClassVar[str]
    """As a config and ``dlcourse.functional`` call it."""
    gain: ClassVar[float] = sqrt(2)
    """The factor on the standard deviation of the weights before it that makes up for what it takes away."""
    saturates: ClassVar[bool] = False
    """Whether it tends to a constant on both sides, so that Xavier's weights suit it."""

    def __init_subclass__(cls) -> None:
        if "name" in vars(cls) and cls.__module__.startswith("dlcourse.nn."):
            ACTIVATIONS[cls.name] = cls


def refuse_in_place(name: str, inplace: bool) -> None:
    """Raise ArgumentTypeError where an activation is to change its input."""
    if inplace:
        raise ArgumentTypeError(refused_option(name, "inplace"))


def relu(x: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0)."""
    refuse_in_place("relu", inplace)
    return apply(elementwise.ReLU(), x)


class ReLU(Activation):
    """max(x, 0)."""

    name = "relu"

    def forward(self, x: Tensor) -> Tensor:
        return relu(x)


def leaky_relu(x: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where x > 0, else a x, a being ``negative_slope``; slope 1 or a. (Maas et al. 2013.)"""
    refuse_in_place("leaky_relu", inplace)

    def value(xp: Any, x: Array) -> Array:
        above, below = halves(x)
        return above + negative_slope * below

    if not negative_slope:
        return apply(Piecewise("leaky_relu", value, lambda xp, x: x > 0), x)
    return apply(Curve("leaky_relu", value, lambda xp, x: chosen(x > 0, x.dtype.type(1), negative_slope)), x)


class LeakyReLU(Activation):
    """x where positive, else ``negative_slope`` x."""

    name = "leaky_relu"
    gain = sqrt(2 / (1 + 0.01**2))

    def __init__(self, negative_slope: float = 0.01):
        super().__init__()
        self.negative_slope = negative_slope

    def forward(self, x: Tensor) -> Tensor:
        return leaky_relu(x, self.negative_slope)


def elu(x: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where x > 0, else a (e^x - 1), a being ``alpha``; slope 1 or a e^x. (Clevert et al. 2015.)"""
    refuse_in_place("elu", inplace)

    def value(xp: Any, x: Array) -> Array:
        above, below = halves(x)
        return above + alpha * xp.expm1(below)

    def slope(xp: Any, x: Array) -> Array:
        falling = xp.exp(halves(x)[1])
        return falling if alpha == 1 else chosen(x > 0, 1.0, alpha * falling)

    return apply(Curve("elu", value, slope), x)


class ELU(Activation):
    """x where positive, else ``alpha`` (e^x - 1)."""

    name = "elu"

    def __init__(self, alpha: float = 1.0):
        super().__init__()
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        return elu(x, self.alpha)


class GELUTanhFunction(Function):
    """y = x/2 (1 + tanh u), u = sqrt(2/pi) (x + 0.044715 x^3); dx = dy ((1 + t)/2 + x/2 (1 - t^2) u'), t = tanh u.

    (Hendrycks & Gimpel 2016, the approximation that GPT-2 uses.)
    """

    fractional = True

    def forward(self, x: Array) -> Array:
        self.x = x
        return kernels.gelu_tanh(x)

    def backward(self, dout: Array) -> Array:
        return kernels.gelu_tanh_grad(dout, self.x)


class GELUFunction(Function):
    """y = x Phi(x), Phi the standard normal's distribution; dx = dy (Phi + x phi). (Hendrycks & Gimpel 2016.)"""

    fractional = True

    def forward(self, x: Array) -> Array:
        self.x = x
        return kernels.gelu(x)

    def backward(self, dout: Array) -> Array:
        return kernels.gelu_grad(dout, self.x)


def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    """x Phi(x); ``approximate="tanh"`` takes GPT-2's approximation.

    Raises:
        ValueError: ``approximate`` is neither "none" nor "tanh".
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f"gelu: approximate is 'none' or 'tanh', got {approximate!r}")
    return apply(GELUTanhFunction() if approximate == "tanh" else GELUFunction(), x)


class GELU(Activation):
    """x Phi(x); ``approximate="tanh"`` takes GPT-2's approximation."""

    name = "gelu"

    def __init__(self, approximate: str = "none"):
        super().__init__()
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        return gelu(x, self.approximate)


def silu(x: Tensor, inplace: bool = False) -> Tensor:
    """x s(x) with the logistic s; slope s (1 + x (1 - s)). Also called swish. (Elfwing et al. 2017.)"""
    refuse_in_place("silu", inplace)

    def slope(xp: Any, x: Array) -> Array:
        s = logistic(x)
        return s * (1 + x * (1 - s))

    return apply(Curve("silu", lambda xp, x: x * logistic(x), slope), x)


class SiLU(Activation):
    """x / (1 + e^-x)."""

    name = "silu"

    def forward(self, x: Tensor) -> Tensor:
        return silu(x)


def softplus(x: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + e^bx) / b, a smooth ReLU, b being ``beta``, and x where bx > ``threshold``; slope s(bx) with the logistic
    s, or 1."""

    def scaled(x: Array) -> Array:
        return x if beta == 1 else x * beta

    def value(xp: Any, x: Array) -> Array:
        bx = scaled(x)
        smooth = halves(bx)[0] + xp.log1p(xp.exp(-abs(bx)))
        return chosen(bx > threshold, x, smooth if beta == 1 else smooth / beta)

    def slope(xp: Any, x: Array) -> Array:
        bx = scaled(x)
        return chosen(bx > threshold, 1.0, logistic(bx))

    return apply(Curve("softplus", value, slope), x)


class Softplus(Activation):
    """log(1 + e^(beta x)) / beta; x itself where beta x is above ``threshold``."""

    name = "softplus"

    def __init__(self, beta: float = 1.0, threshold: float = 20.0):
        super().__init__()
        self.beta, self.threshold = beta, threshold

    def forward(self, x: Tensor) -> Tensor:
        return softplus(x, self.beta, self.threshold)


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + e^-x)."""
    return apply(elementwise.Sigmoid(), x)


class Sigmoid(Activation):
    """1 / (1 + e^-x)."""

    name = "sigmoid"
    gain = 1.0
    saturates = True

    def forward(self, x: Tensor) -> Tensor:
        return sigmoid(x)


def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return apply(elementwise.Tanh(), x)


class Tanh(Activation):
    """The hyperbolic tangent."""

    name = "tanh"
    gain = 5 / 3
    saturates = True

    def forward(self, x: Tensor) -> Tensor:
        return tanh(x)
