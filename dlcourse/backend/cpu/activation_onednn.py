"""Activations and sums by oneDNN: one pass, vectorized, on all threads."""

from collections.abc import Callable
from ctypes import c_void_p

import numpy as np

from dlcourse.backend.cpu import activation as exact
from dlcourse.backend.cpu import onednn, threads
from dlcourse.backend.cpu.finite import finite
from dlcourse.backend.cpu.sums import row_sums
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import activation as kernels
from dlcourse.backend.kernels import linear, require
from dlcourse.backend.kernels.grad_buffers import copy_into

ALGORITHMS = {"relu from y": 0x100, "leaky_relu": 0x20, "sigmoid": 0x29, "silu": 0x2C, "gelu_tanh": 0x2B, "gelu": 0x31}
MIN_SIZE = 1 << 14
"""Below so many elements the calls cost more than they save."""
LOWEST = -86.0
"""Below this oneDNN's logistic function is 0, and of NaN it makes a number; the least of an array with NaN is NaN."""
PIECE = 1 << 19
"""Elements whose tail is looked at together."""
TAIL, SLOPE_TAIL = -2.25, -3.0
"""Below these oneDNN's GELU and its slope are off by more than 6e-6 and 4e-6 of their value: it adds 1 to an error
function near -1. Of a normal distribution 1.2 % and 0.1 % lie there; to put right the 4 % below -1.75, where GELU is
off by 2e-6, costs as much as all the rest."""


def _describe_forward(name: str, alpha: float, layout: c_void_p) -> c_void_p:
    settings = onednn.FORWARD_TRAINING, ALGORITHMS[name]
    return onednn.describe("eltwise_forward", *settings, layout, layout, alpha, 0.0)


@onednn.built_once
def _forward(name: str, alpha: float, count: int) -> Callable:
    layout = onednn.strided((count,), (1,))
    return onednn.Primitive(_describe_forward(name, alpha, layout), {onednn.SRC: layout, onednn.DST: layout})


@onednn.built_once
def _backward(name: str, alpha: float, count: int) -> Callable:
    layout = onednn.strided((count,), (1,))
    settings = ALGORITHMS[name], layout, layout, layout, alpha, 0.0
    descriptor = onednn.describe("eltwise_backward", *settings, _describe_forward(name, alpha, layout))
    return onednn.Primitive(descriptor, dict.fromkeys((_known(name), onednn.DIFF_DST, onednn.DIFF_SRC), layout))


def _known(name: str) -> int:
    """What a gradient is computed from besides dy: the activation's input, or its output."""
    return onednn.DST if name == "relu from y" else onednn.SRC


# oneDNN's own ReLU makes 0 of NaN, and a net that has diverged would go on as if nothing were wrong. These chains let
# NaN through, at the same speed; the first operand of ``max`` is the one that may be NaN without being seen.


@onednn.built_once
def _relu(count: int) -> Callable:
    """max(clip(0 x, 0, 0), x)."""
    nothing = ("eltwise", onednn.CLIP, 0.0, 0.0)
    return onednn.elementwise(count, onednn.MULTIPLY, "number", nothing, ("binary", onednn.MAX, "array"))


@onednn.built_once
def _add_relu(count: int) -> Callable:
    """max(-b, a) + b."""
    after = ("binary", onednn.MAX, "array"), ("binary", onednn.ADD, "array")
    return onednn.elementwise(count, onednn.MULTIPLY, "number", *after)


@onednn.built_once
def _minus_size(count: int) -> Callable:
    """-|1 x|."""
    after = ("eltwise", onednn.ABS, 0.0, 0.0), ("eltwise", onednn.LINEAR, -1.0, 0.0)
    return onednn.elementwise(count, onednn.MULTIPLY, "number", *after)


@onednn.built_once
def _add(count: int) -> Callable:
    return onednn.elementwise(count, onednn.ADD, "array")


@onednn.override(kernels.relu)
def relu(x: Array) -> Array:
    if x.size < MIN_SIZE:
        return NotImplemented
    zero = np.zeros(1, dtype=np.float32)
    return _chained(_relu, {onednn.SRC: x, onednn.SRC_1: zero, onednn.post_operand(1): x})


@onednn.override(kernels.add)
def add(a: Array, b: Array) -> Array:
    return NotImplemented if a.size < MIN_SIZE else _chained(_add, {onednn.SRC: a, onednn.SRC_1: b})


@onednn.override(kernels.add_relu)
def add_relu(a: Array, b: Array) -> Array:
    if a.size < MIN_SIZE:
        return NotImplemented
    minus, second = np.full(1, -1, dtype=np.float32), np.ascontiguousarray(b)  # NaN also where b is minus infinity
    operands = {onednn.SRC: second, onednn.SRC_1: minus, onednn.post_operand(0): a, onednn.post_operand(1): second}
    return _chained(_add_relu, operands)


@onednn.override(kernels.relu_grad)
def relu_grad(dout: Array, y: Array) -> Array:
    if y.size < MIN_SIZE:
        return NotImplemented
    dx = _gradient("relu from y", dout, y)
    # oneDNN multiplies by 0, which makes NaN of an infinity where dx is to be 0.
    return dx if finite(dx) else NotImplemented


@onednn.override(linear.relu_bias_grad)
def relu_bias_grad(dout: Array, y: Array, out: Array | None) -> tuple[Array, Array]:
    if y.size < MIN_SIZE:
        return NotImplemented
    dz = _gradient("relu from y", dout, y)
    sums = row_sums(dz)
    # They tell of an infinity that was multiplied by 0, see above, without another pass.
    return (dz, copy_into(sums, out)) if np.isfinite(sums).all() else NotImplemented


@onednn.override(kernels.leaky_relu)
def leaky_relu(x: Array, negative_slope: float) -> Array:
    return _activated("leaky_relu", x, float(negative_slope))


@onednn.override(kernels.leaky_relu_grad)
def leaky_relu_grad(dout: Array, x: Array, negative_slope: float) -> Array:
    return _gradient("leaky_relu", dout, x, float(negative_slope))


@onednn.override(kernels.sigmoid)
def sigmoid(x: Array) -> Array:
    require(x.size >= MIN_SIZE and onednn.suits(x) and bool(x.min() > LOWEST))
    return _activated("sigmoid", x)


@onednn.override(kernels.sigmoid_grad)
def sigmoid_grad(dout: Array, x: Array) -> Array:
    require(x.size >= MIN_SIZE and onednn.suits(x))
    sizes = np.empty(x.shape, dtype=x.dtype)
    one = np.ones(1, dtype=np.float32)
    _minus_size(x.size)({onednn.SRC: np.ascontiguousarray(x), onednn.SRC_1: one, onednn.DST: sizes})
    require(bool(sizes.min() > LOWEST))
    return _gradient("sigmoid", dout, sizes)  # the slope is even, and oneDNN's loses its digits above 0


@onednn.override(kernels.silu)
def silu(x: Array) -> Array:
    return _activated("silu", x, 1.0)


@onednn.override(kernels.silu_grad)
def silu_grad(dout: Array, x: Array) -> Array:
    return _gradient("silu", dout, x, 1.0)


@onednn.override(kernels.gelu_tanh)
def gelu_tanh(x: Array) -> Array:
    return _activated("gelu_tanh", x)


@onednn.override(kernels.gelu_tanh_grad)
def gelu_tanh_grad(dout: Array, x: Array) -> Array:
    return _gradient("gelu_tanh", dout, x)


@onednn.override(kernels.gelu)
def gelu(x: Array) -> Array:
    return _with_tail(_activated("gelu", x), TAIL, exact.gelu, x)


@onednn.override(kernels.gelu_grad)
def gelu_grad(dout: Array, x: Array) -> Array:
    return _with_tail(_gradient("gelu", dout, x), SLOPE_TAIL, exact.gelu_grad, dout, x)


def _activated(name: str, x: Array, alpha: float = 0.0) -> Array:
    """y of the activation."""
    require(x.size >= MIN_SIZE and onednn.suits(x))
    compute = _forward(name, alpha, x.size)
    y = np.empty(x.shape, dtype=x.dtype)
    compute({onednn.SRC: np.ascontiguousarray(x), onednn.DST: y})
    return y


def _gradient(name: str, dout: Array, x: Array, alpha: float = 0.0) -> Array:
    """dx of the activation, from its input; ``relu from y`` wants its output in that place."""
    require(x.size >= MIN_SIZE and onednn.suits(dout, x))
    compute = _backward(name, alpha, x.size)
    dx = np.empty(x.shape, dtype=x.dtype)
    compute({_known(name): np.ascontiguousarray(x), onednn.DIFF_DST: np.ascontiguousarray(dout), onednn.DIFF_SRC: dx})
    return dx


def _chained(build: Callable, operands: dict[int, Array]) -> Array:
    first = operands[onednn.SRC]
    require(onednn.suits(*operands.values()))
    compute = build(first.size)
    y = np.empty(first.shape, dtype=first.dtype)
    arrays = {which: np.ascontiguousarray(array) for which, array in operands.items()}
    compute(arrays | {onednn.DST: y})
    return y


def _with_tail(y: Array, below: float, compute: Callable[..., Array], *inputs: Array) -> Array:
    """oneDNN's result with the elements written anew whose x, the last input, lies where it has lost their digits."""
    flat, out = [array.reshape(-1) for array in inputs], y.reshape(-1)

    def correct(part: slice) -> None:
        at = np.flatnonzero(flat[-1][part] < below)
        if at.size:
            out[part][at] = compute(*(array[part][at] for array in flat))

    threads.run(correct, threads.slices(y.size, PIECE))
    return y
