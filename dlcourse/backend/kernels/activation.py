"""Activations whose passes over the array are worth fusing; the equations stand in ``dlcourse/nn/activation.py``."""

import math

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import kernel
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
