"""Activation functions as layers; the equations stand in ``dlcourse/ops/activation.py``."""

from math import sqrt
from typing import ClassVar

from dlcourse.autograd import Tensor
from dlcourse.nn.module import Module
from dlcourse.ops import activation, softmax

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "ELU",
    "GELU",
    "LeakyReLU",
    "ReLU",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
]


class Activation(Module):
    """A function of each number by itself, which ``activation: name`` of a config puts between linear layers."""

    name: ClassVar[str]
    """As a config and ``dlcourse.functional`` call it."""
    gain: ClassVar[float] = sqrt(2)
    """The factor on the standard deviation of the weights before it that makes up for what it takes away."""
    saturates: ClassVar[bool] = False
    """Whether it tends to a constant on both sides, so that Xavier's weights suit it."""


class ReLU(Activation):
    """max(x, 0)."""

    name = "relu"

    def forward(self, x: Tensor) -> Tensor:
        return activation.relu(x)


class LeakyReLU(Activation):
    """x where positive, else ``negative_slope`` x."""

    name = "leaky_relu"
    gain = sqrt(2 / (1 + 0.01**2))

    def __init__(self, negative_slope: float = 0.01):
        super().__init__()
        self.negative_slope = negative_slope

    def forward(self, x: Tensor) -> Tensor:
        return activation.leaky_relu(x, self.negative_slope)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}"


class ELU(Activation):
    """x where positive, else ``alpha`` (e^x - 1)."""

    name = "elu"

    def __init__(self, alpha: float = 1.0):
        super().__init__()
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        return activation.elu(x, self.alpha)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


class GELU(Activation):
    """x Phi(x); ``approximate="tanh"`` takes GPT-2's approximation."""

    name = "gelu"

    def __init__(self, approximate: str = "none"):
        super().__init__()
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        return activation.gelu(x, self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class SiLU(Activation):
    """x / (1 + e^-x)."""

    name = "silu"

    def forward(self, x: Tensor) -> Tensor:
        return activation.silu(x)


class Softplus(Activation):
    """log(1 + e^(beta x)) / beta; x itself where beta x is above ``threshold``."""

    name = "softplus"

    def __init__(self, beta: float = 1.0, threshold: float = 20.0):
        super().__init__()
        self.beta, self.threshold = beta, threshold

    def forward(self, x: Tensor) -> Tensor:
        return activation.softplus(x, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class Sigmoid(Activation):
    """1 / (1 + e^-x)."""

    name = "sigmoid"
    gain = 1.0
    saturates = True

    def forward(self, x: Tensor) -> Tensor:
        return activation.sigmoid(x)


class Tanh(Activation):
    """The hyperbolic tangent."""

    name = "tanh"
    gain = 5 / 3
    saturates = True

    def forward(self, x: Tensor) -> Tensor:
        return activation.tanh(x)


class Softmax(Module):
    """e^x / sum e^x along ``axis``. Losses take logits: put no Softmax before a cross-entropy."""

    def __init__(self, axis: int = -1):
        super().__init__()
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        return softmax.softmax(x, self.axis)

    def extra_repr(self) -> str:
        return f"axis={self.axis}"


ACTIVATIONS: dict[str, type[Activation]] = {each.name: each for each in Activation.__subclasses__()}
"""By the name that a config gives, in the order above."""
