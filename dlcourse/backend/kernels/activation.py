"""Activations whose passes over the array are worth fusing; the equations stand in ``dlcourse/nn/activation.py``."""

import math
from typing import Any

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import kernel
from dlcourse.backend.kernels.mapped import mapped
from dlcourse.backend.kernels.select import selected
from dlcourse.backend.kernels.special import normal_cdf

SCALE, CUBIC = math.sqrt(2 / math.pi), 0.044715


@kernel
def relu(x: Array) -> Array:
    """y = max(x, 0)."""
    # maximum, not x * (x > 0): the latter makes NaN of minus infinity.
    return array_module(x).maximum(x, 0)


@kernel
def relu_grad(dout: Array, y: Array) -> Array:
    """dx = dy where y > 0, else 0."""
    return selected.reference(dout, y > 0)


@kernel
def add(a: Array, b: Array) -> Array:
    """y = a + b, of two arrays of one shape."""
    return a + b


@kernel
def add_relu(a: Array, b: Array) -> Array:
    """y = max(a + b, 0), of two arrays of one shape."""
    return array_module(a).maximum(a + b, 0)


@kernel
def leaky_relu(x: Array, negative_slope: float) -> Array:
    """y = x where x > 0, else a x."""
    return mapped(x, None, lambda xp, x: xp.maximum(x, 0) + negative_slope * xp.minimum(x, 0))


@kernel
def leaky_relu_grad(dout: Array, x: Array, negative_slope: float) -> Array:
    """dx = dy times 1 where x > 0, else a."""
    one, other = x.dtype.type(1), x.dtype.type(negative_slope)
    return mapped(dout, x, lambda xp, dout, x: dout * xp.where(x > 0, one, other))


@kernel
def sigmoid(x: Array) -> Array:
    """y = 1 / (1 + e^-x)."""
    return mapped(x, None, logistic)


@kernel
def sigmoid_grad(dout: Array, x: Array) -> Array:
    """dx = dy y (1 - y), from the smaller of y and 1 - y, so that it keeps its digits on both sides."""

    def gradient(xp: Any, dout: Array, x: Array) -> Array:
        smaller = _smaller(xp, x)
        return dout * (smaller * (1 - smaller))

    return mapped(dout, x, gradient)


@kernel
def silu(x: Array) -> Array:
    """y = x s(x) with the logistic s."""
    return mapped(x, None, lambda xp, x: x * logistic(xp, x))


@kernel
def silu_grad(dout: Array, x: Array) -> Array:
    """dx = dy (s + x s (1 - s))."""

    def gradient(xp: Any, dout: Array, x: Array) -> Array:
        s = logistic(xp, x)
        return dout * (s * (1 + x * (1 - s)))

    return mapped(dout, x, gradient)


def logistic(xp: Any, x: Array) -> Array:
    """The formula of 1 / (1 + e^-x), with all its digits also near 0: for x < 0 the smaller of it and 1 less it, else 1
    less that."""
    return abs((x >= 0) - _smaller(xp, x))


def _smaller(xp: Any, x: Array) -> Array:
    """The smaller of s(x) and 1 - s(x): e^-|x| / (1 + e^-|x|), which cannot overflow."""
    tail = xp.exp(-abs(x))
    return tail / (1 + tail)


@kernel
def gelu_tanh(x: Array) -> Array:
    """y = x/2 (1 + tanh u), u = sqrt(2/pi) (x + 0.044715 x^3)."""
    return 0.5 * x * (1 + array_module(x).tanh(SCALE * (x + CUBIC * x * x * x)))


@kernel
def gelu_tanh_grad(dout: Array, x: Array) -> Array:
    """dx = dy ((1 + t)/2 + x/2 (1 - t^2) u'), t = tanh u."""
    t = array_module(x).tanh(SCALE * (x + CUBIC * x * x * x))
    return dout * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * SCALE * (1 + 3 * CUBIC * x * x))


@kernel
def gelu(x: Array) -> Array:
    """y = x Phi(x), Phi the standard normal's distribution."""
    return x * normal_cdf(x)


@kernel
def gelu_grad(dout: Array, x: Array) -> Array:
    """dx = dy (Phi + x phi)."""
    density = array_module(x).exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi))
    return dout * (normal_cdf(x) + x * density)
