"""Activations (lecture 4; Goodfellow, Bengio & Courville, section 6.3), each in three steps, one below the other.

A ``Function`` has the equation, the gradient and their passes over arrays; the function that ``dlcourse.functional``
shows applies it to a tensor; the layer has what a config and the initial weights have to know. The
``Function`` of ReLU, tanh and the logistic function, which tensors have as methods, are in ``autograd/elementwise.py``.
"""

from math import sqrt
from typing import Any, ClassVar

from dlcourse.autograd import Function, Tensor, apply, elementwise
from dlcourse.autograd.elementwise import Curve
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import activation as kernels
from dlcourse.backend.kernels.select import selected
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


class LeakyReLUFunction(Function):
    """y = x where x > 0, else a x; dx = dy times 1 or a. (Maas et al. 2013.)"""

    elementwise = True
    fractional = True

    def __init__(self, negative_slope: float):
        self.negative_slope = negative_slope

    def forward(self, x: Array) -> Array:
        self.x = x
        return kernels.leaky_relu(x, self.negative_slope)

    def backward(self, dout: Array) -> Array:
        # With a = 0 exactly 0, also where dy is infinite.
        if not self.negative_slope:
            return selected(dout, self.x > 0)
        return kernels.leaky_relu_grad(dout, self.x, self.negative_slope)


def leaky_relu(x: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where positive, else ``negative_slope`` x."""
    refuse_in_place("leaky_relu", inplace)
    return apply(LeakyReLUFunction(negative_slope), x)


class LeakyReLU(Activation):
    """x where positive, else ``negative_slope`` x."""

    name = "leaky_relu"
    gain = sqrt(2 / (1 + 0.01**2))

    def __init__(self, negative_slope: float = 0.01):
        super().__init__()
        self.negative_slope = negative_slope

    def forward(self, x: Tensor) -> Tensor:
        return leaky_relu(x, self.negative_slope)


class ELUFunction(Curve):
    """y = x where x > 0, else a (e^x - 1); dx = dy times 1 or a e^x. (Clevert et al. 2015.)"""

    name = "elu"

    def __init__(self, alpha: float):
        self.alpha = alpha

    def value(self, xp: Any, x: Array) -> Array:
        return xp.maximum(x, 0) + self.alpha * xp.expm1(xp.minimum(x, 0))

    def slope(self, xp: Any, x: Array) -> Array:
        falling = xp.exp(xp.minimum(x, 0))
        return falling if self.alpha == 1 else xp.where(x > 0, x.dtype.type(1), self.alpha * falling)


def elu(x: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where positive, else ``alpha`` (e^x - 1)."""
    refuse_in_place("elu", inplace)
    return apply(ELUFunction(alpha), x)


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


class SiLUFunction(Function):
    """y = x s(x) with the logistic s; dx = dy (s + y (1 - s)). Also called swish. (Elfwing et al. 2017.)"""

    fractional = True

    def forward(self, x: Array) -> Array:
        self.x = x
        return kernels.silu(x)

    def backward(self, dout: Array) -> Array:
        return kernels.silu_grad(dout, self.x)


def silu(x: Tensor, inplace: bool = False) -> Tensor:
    """x / (1 + e^-x)."""
    refuse_in_place("silu", inplace)
    return apply(SiLUFunction(), x)


class SiLU(Activation):
    """x / (1 + e^-x)."""

    name = "silu"

    def forward(self, x: Tensor) -> Tensor:
        return silu(x)


class SoftplusFunction(Curve):
    """y = log(1 + e^bx) / b, a smooth ReLU, and x where bx > threshold; dx = dy s(bx) with the logistic s, or dy."""

    name = "softplus"

    def __init__(self, beta: float, threshold: float):
        self.beta, self.threshold = beta, threshold

    def scaled(self, x: Array) -> Array:
        """b x."""
        return x if self.beta == 1 else x * self.beta

    def value(self, xp: Any, x: Array) -> Array:
        bx = self.scaled(x)
        smooth = xp.maximum(bx, 0) + xp.log1p(xp.exp(-abs(bx)))
        return xp.where(bx > self.threshold, x, smooth if self.beta == 1 else smooth / self.beta)

    def slope(self, xp: Any, x: Array) -> Array:
        bx = self.scaled(x)
        return xp.where(bx > self.threshold, x.dtype.type(1), kernels.logistic(xp, bx))


def softplus(x: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + e^(beta x)) / beta; x itself where beta x is above ``threshold``."""
    return apply(SoftplusFunction(beta, threshold), x)


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
