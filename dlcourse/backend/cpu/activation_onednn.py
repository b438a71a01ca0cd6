"""Activations and sums by oneDNN: one pass, vectorized, on all threads. None where it is absent or does not suit."""

from collections.abc import Callable
from ctypes import c_float

import numpy as np

from dlcourse.backend.cpu import onednn
from dlcourse.backend.device import Array

ALGORITHMS = {"relu from y": 0x100, "gelu_tanh": 0x2B, "gelu": 0x31}
MIN_SIZE = 1 << 14
"""Below so many elements the calls cost more than they save."""


def _describe_forward(name: str, layout: object) -> object:
    return onednn.describe(
        "eltwise_forward",
        onednn.engine(),
        onednn.FORWARD_TRAINING,
        ALGORITHMS[name],
        layout,
        layout,
        c_float(0),
        c_float(0),
    )


@onednn.built_once
def _forward(name: str, count: int) -> Callable:
    layout = onednn.strided((count,), (1,))
    return onednn.Primitive(_describe_forward(name, layout), {onednn.SRC: layout, onednn.DST: layout})


@onednn.built_once
def _backward(name: str, count: int) -> Callable:
    layout = onednn.strided((count,), (1,))
    descriptor = onednn.describe(
        "eltwise_backward",
        onednn.engine(),
        ALGORITHMS[name],
        layout,
        layout,
        layout,
        c_float(0),
        c_float(0),
        _describe_forward(name, layout),
    )
    known = onednn.DST if name == "relu from y" else onednn.SRC
    return onednn.Primitive(descriptor, dict.fromkeys((known, onednn.DIFF_DST, onednn.DIFF_SRC), layout))


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
def _add(count: int) -> Callable:
    return onednn.elementwise(count, onednn.ADD, "array")


def forward(name: str, x: Array) -> Array | None:
    """y of the activation."""
    compute = _forward(name, x.size) if x.size >= MIN_SIZE and onednn.suits(x) else None
    if compute is None:
        return None
    y = np.empty(x.shape, dtype=x.dtype)
    with onednn.lock:
        compute({onednn.SRC: np.ascontiguousarray(x), onednn.DST: y})
    return y


def backward(name: str, dout: Array, x: Array) -> Array | None:
    """dx of the activation, from its input; ``relu from y`` wants its output in that place."""
    compute = _backward(name, x.size) if x.size >= MIN_SIZE and onednn.suits(dout, x) else None
    if compute is None:
        return None
    dx = np.empty(x.shape, dtype=x.dtype)
    known = onednn.DST if name == "relu from y" else onednn.SRC
    arrays = {known: np.ascontiguousarray(x), onednn.DIFF_DST: np.ascontiguousarray(dout), onednn.DIFF_SRC: dx}
    with onednn.lock:
        compute(arrays)
    return dx


def relu(x: Array) -> Array | None:
    """max(x, 0)."""
    zero = np.zeros(1, dtype=np.float32)
    return _chained(_relu, {onednn.SRC: x, onednn.SRC_1: zero, onednn.post_operand(1): x})


def add(a: Array, b: Array) -> Array | None:
    """a + b."""
    return _chained(_add, {onednn.SRC: a, onednn.SRC_1: b})


def add_relu(a: Array, b: Array) -> Array | None:
    """max(a + b, 0); NaN also where b is minus infinity."""
    minus = np.full(1, -1, dtype=np.float32)
    second = np.ascontiguousarray(b)
    return _chained(
        _add_relu,
        {onednn.SRC: second, onednn.SRC_1: minus, onednn.post_operand(0): a, onednn.post_operand(1): second},
    )


def _chained(build: Callable, operands: dict[int, Array]) -> Array | None:
    first = operands[onednn.SRC]
    if first.size < MIN_SIZE or not onednn.suits(*operands.values()):
        return None
    compute = build(first.size)
    if compute is None:
        return None
    y = np.empty(first.shape, dtype=first.dtype)
    arrays = {which: np.ascontiguousarray(array) for which, array in operands.items()}
    with onednn.lock:
        compute(arrays | {onednn.DST: y})
    return y
