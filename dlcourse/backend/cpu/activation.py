"""Activations by oneDNN where it is there, else in pieces that stay in the cache, on all threads.

In pieces of 256 KB the passes of NumPy's element-wise operations meet warm data, and the only arrays touched whole are
the input and the output.
"""

import math
from collections.abc import Callable

import numpy as np

from dlcourse.backend.cpu import activation_onednn, threads
from dlcourse.backend.cpu.finite import finite
from dlcourse.backend.cpu.memory import scratch
from dlcourse.backend.cpu.select import select
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import activation as kernels
from dlcourse.backend.kernels import override
from dlcourse.backend.kernels.special import normal_cdf

SCALE, CUBIC = kernels.SCALE, kernels.CUBIC
PIECE_BYTES = 1 << 18
TAIL = -1.5
"""Below this oneDNN's GELU is off by more than 1e-6 of its value: it adds 1 to an error function near -1."""


def in_pieces(work: Callable[..., None], *inputs: Array) -> Array:
    """A new array of the inputs' shape, filled by ``work(*pieces of the inputs, piece of the result)``."""
    flat = [np.ascontiguousarray(array).reshape(-1) for array in inputs]
    y = np.empty(inputs[0].shape, dtype=np.result_type(*inputs))
    out = y.reshape(-1)
    length = PIECE_BYTES // max(1, out.itemsize)
    if out.size <= length:
        work(*flat, out)
        return y
    parts = threads.slices(out.size, length)
    threads.run(lambda part: work(*(array[part] for array in flat), out[part]), parts)
    return y


@override(kernels.relu, "cpu")
def relu(x: Array) -> Array:
    y = activation_onednn.relu(x)
    return in_pieces(_relu, x) if y is None else y


@override(kernels.relu_grad, "cpu")
def relu_grad(dout: Array, y: Array) -> Array:
    dx = activation_onednn.backward("relu from y", dout, y)
    return relu_grad_by_choice(dout, y) if dx is None or not finite(dx) else dx


def relu_grad_by_choice(dout: Array, y: Array) -> Array:
    """dy where y > 0, else 0, whatever dy is; oneDNN multiplies by 0 instead, which makes NaN of an infinity."""
    return in_pieces(_relu_grad, dout, y)


@override(kernels.add, "cpu")
def add(a: Array, b: Array) -> Array:
    y = activation_onednn.add(a, b)
    return np.add(a, b) if y is None else y


@override(kernels.add_relu, "cpu")
def add_relu(a: Array, b: Array) -> Array:
    y = activation_onednn.add_relu(a, b)
    return in_pieces(_add_relu, a, b) if y is None else y


@override(kernels.gelu_tanh, "cpu")
def gelu_tanh(x: Array) -> Array:
    y = activation_onednn.forward("gelu_tanh", x)
    return in_pieces(_gelu_tanh, x) if y is None else y


@override(kernels.gelu_tanh_grad, "cpu")
def gelu_tanh_grad(dout: Array, x: Array) -> Array:
    dx = activation_onednn.backward("gelu_tanh", dout, x)
    return in_pieces(_gelu_tanh_grad, dout, x) if dx is None else dx


@override(kernels.gelu, "cpu")
def gelu(x: Array) -> Array:
    y = activation_onednn.forward("gelu", x)
    return in_pieces(_gelu, x) if y is None else _with_tail(y, _gelu, x)


@override(kernels.gelu_grad, "cpu")
def gelu_grad(dout: Array, x: Array) -> Array:
    dx = activation_onednn.backward("gelu", dout, x)
    return in_pieces(_gelu_grad, dout, x) if dx is None else _with_tail(dx, _gelu_grad, dout, x)


def _with_tail(y: Array, work: Callable[..., None], *inputs: Array) -> Array:
    """oneDNN's result with the elements written anew whose x, the last input, lies where it has lost their digits."""
    flat = [array.reshape(-1) for array in inputs]
    at = np.flatnonzero(flat[-1] < TAIL)
    if at.size:
        y.reshape(-1)[at] = in_pieces(work, *(array[at] for array in flat))
    return y


def _relu(x: Array, y: Array) -> None:
    np.maximum(x, 0, out=y)


def _relu_grad(dout: Array, y: Array, dx: Array) -> None:
    mask = scratch("relu", y.shape, np.dtype(bool))
    np.greater(y, 0, out=mask)
    select(dout, mask, dx)


def _add_relu(a: Array, b: Array, y: Array) -> None:
    np.add(a, b, out=y)
    np.maximum(y, 0, out=y)


def _tanh_term(x: Array, out: Array) -> None:
    """tanh(scale (x + cubic x^3))."""
    np.multiply(x, x, out=out)
    out *= SCALE * CUBIC
    out += SCALE
    out *= x
    np.tanh(out, out=out)


def _gelu_tanh(x: Array, y: Array) -> None:
    _tanh_term(x, y)
    y += 1
    y *= x
    y *= 0.5


def _gelu_tanh_grad(dout: Array, x: Array, dx: Array) -> None:
    t, slope = scratch("gelu-t", x.shape, x.dtype), scratch("gelu-slope", x.shape, x.dtype)
    _tanh_term(x, t)
    np.multiply(x, x, out=slope)
    slope *= 3 * CUBIC * SCALE
    slope += SCALE
    slope *= x
    np.multiply(t, t, out=dx)
    np.subtract(1, dx, out=dx)
    slope *= dx
    t += 1
    t += slope
    t *= 0.5
    np.multiply(dout, t, out=dx)


def _gelu(x: Array, y: Array) -> None:
    np.multiply(x, normal_cdf(x), out=y)


def _gelu_grad(dout: Array, x: Array, dx: Array) -> None:
    cdf, density = normal_cdf(x), scratch("gelu-slope", x.shape, x.dtype)
    np.multiply(x, x, out=density)
    density *= -0.5
    np.exp(density, out=density)
    density *= x
    density *= 1 / math.sqrt(2 * math.pi)
    cdf += density
    np.multiply(dout, cdf, out=dx)
