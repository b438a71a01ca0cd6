"""Activation functions, element by element (lecture 4; Goodfellow, Bengio & Courville, section 6.3)."""

from dlcourse.autograd import Function, Tensor, apply
from dlcourse.autograd.elementwise import Tanh
from dlcourse.autograd.function import xp_of
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import activation as kernels

__all__ = ["elu", "gelu", "leaky_relu", "relu", "sigmoid", "silu", "softplus", "tanh"]


class ReLU(Function):
    """y = max(x, 0); dx = dy where x > 0, else 0 (so 0 at x = 0, as PyTorch has it)."""

    def forward(self, x: Array) -> Array:
        self.y = kernels.relu(x)
        return self.y

    def backward(self, dout: Array) -> Array:
        return kernels.relu_grad(dout, self.y)


class LeakyReLU(Function):
    """y = x where x > 0, else a x; dx = dy times 1 or a. (Maas et al. 2013.)"""

    compute_in_float32 = True
    fractional = True

    def __init__(self, negative_slope: float):
        self.slope = negative_slope

    def forward(self, x: Array) -> Array:
        self.positive = x > 0
        return xp_of(x).where(self.positive, x, self.slope * x)

    def backward(self, dout: Array) -> Array:
        return xp_of(dout).where(self.positive, dout, self.slope * dout if self.slope else dout.dtype.type(0))


class Sigmoid(Function):
    """y = 1 / (1 + e^-x); dx = dy y (1 - y). Both keep their digits where y is near 0, and dx also where it is near 1:
    computed from s = e^-|x| / (1 + e^-|x|), the smaller of y and 1 - y.
    """

    compute_in_float32 = True
    fractional = True

    def forward(self, x: Array) -> Array:
        self.smaller = _smaller(x)
        return _logistic(x, self.smaller)

    def backward(self, dout: Array) -> Array:
        return dout * (self.smaller * (1 - self.smaller))


class ELU(Function):
    """y = x where x > 0, else a (e^x - 1); dx = dy times 1 or a e^x. (Clevert et al. 2015.)"""

    compute_in_float32 = True
    fractional = True

    def __init__(self, alpha: float):
        self.alpha = alpha

    def forward(self, x: Array) -> Array:
        xp = xp_of(x)
        self.positive, self.negative = x > 0, xp.minimum(x, 0)
        return xp.where(self.positive, x, self.alpha * xp.expm1(self.negative))

    def backward(self, dout: Array) -> Array:
        xp = xp_of(dout)
        return xp.where(self.positive, dout, dout * (self.alpha * xp.exp(self.negative)))


class SiLU(Function):
    """y = x s(x) with the logistic s; dx = dy (s + y (1 - s)). Also called swish. (Elfwing et al. 2017.)"""

    compute_in_float32 = True
    fractional = True

    def forward(self, x: Array) -> Array:
        self.x, self.s = x, logistic(x)
        return x * self.s

    def backward(self, dout: Array) -> Array:
        return dout * (self.s * (1 + self.x * (1 - self.s)))


class Softplus(Function):
    """y = log(1 + e^bx) / b, a smooth ReLU, and x where bx > threshold; dx = dy s(bx) with the logistic s, or dy."""

    compute_in_float32 = True
    fractional = True

    def __init__(self, beta: float, threshold: float):
        self.beta, self.threshold = beta, threshold

    def forward(self, x: Array) -> Array:
        self.scaled = x if self.beta == 1 else x * self.beta
        xp = xp_of(x)
        return xp.where(self.scaled > self.threshold, x, xp.logaddexp(self.scaled, x.dtype.type(0)) / self.beta)

    def backward(self, dout: Array) -> Array:
        return dout * xp_of(dout).where(self.scaled > self.threshold, 1, logistic(self.scaled)).astype(dout.dtype)


class GELUTanh(Function):
    """y = x/2 (1 + tanh u), u = sqrt(2/pi) (x + 0.044715 x^3); dx = dy ((1 + t)/2 + x/2 (1 - t^2) u'), t = tanh u.

    (Hendrycks & Gimpel 2016, the approximation that GPT-2 uses.)
    """

    fractional = True

    def forward(self, x: Array) -> Array:
        self.x = x
        return kernels.gelu_tanh(x)

    def backward(self, dout: Array) -> Array:
        return kernels.gelu_tanh_grad(dout, self.x)


class GELU(Function):
    """y = x Phi(x), Phi the standard normal's distribution; dx = dy (Phi + x phi). (Hendrycks & Gimpel 2016.)"""

    fractional = True

    def forward(self, x: Array) -> Array:
        self.x = x
        return kernels.gelu(x)

    def backward(self, dout: Array) -> Array:
        return kernels.gelu_grad(dout, self.x)


def logistic(x: Array) -> Array:
    """1 / (1 + e^-x) of an array, with all its digits also where it is near 0."""
    return _logistic(x, _smaller(x))


def _smaller(x: Array) -> Array:
    """The smaller of s(x) and 1 - s(x): e^-|x| / (1 + e^-|x|), which cannot overflow."""
    tail = xp_of(x).exp(-abs(x))
    return tail / (1 + tail)


def _logistic(x: Array, smaller: Array) -> Array:
    """s(x) from :func:`_smaller`, which it is for x < 0, and 1 less it for others: |[x >= 0] - smaller|."""
    return abs((x >= 0) - smaller)


def relu(x: Tensor) -> Tensor:
    """max(x, 0)."""
    return apply(ReLU(), x)


def leaky_relu(x: Tensor, negative_slope: float = 0.01) -> Tensor:
    """x where positive, else ``negative_slope`` x."""
    return apply(LeakyReLU(negative_slope), x)


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + e^-x)."""
    return apply(Sigmoid(), x)


def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return apply(Tanh(), x)


def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """x where positive, else ``alpha`` (e^x - 1)."""
    return apply(ELU(alpha), x)


def silu(x: Tensor) -> Tensor:
    """x / (1 + e^-x)."""
    return apply(SiLU(), x)


def softplus(x: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + e^(beta x)) / beta; x itself where beta x is above ``threshold``."""
    return apply(Softplus(beta, threshold), x)


def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    """x Phi(x); ``approximate="tanh"`` takes GPT-2's approximation.

    Raises:
        ValueError: ``approximate`` is neither "none" nor "tanh".
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f"gelu: approximate is 'none' or 'tanh', got {approximate!r}")
    return apply(GELUTanh() if approximate == "tanh" else GELU(), x)
