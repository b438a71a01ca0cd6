"""GELU by oneDNN: one pass, vectorised, on all threads. None where it is absent or does not suit."""

from collections.abc import Callable
from ctypes import c_float

import numpy as np

from dlcourse.backend import onednn
from dlcourse.backend.device import Array

ALGORITHMS = {"gelu_tanh": 0x2B, "gelu": 0x31}
LEAST = 1 << 14
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
        None,
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
        None,
    )
    return onednn.Primitive(descriptor, dict.fromkeys((onednn.SRC, onednn.DIFF_DST, onednn.DIFF_SRC), layout))


def forward(name: str, x: Array) -> Array | None:
    """y of the activation."""
    compute = _forward(name, x.size) if x.size >= LEAST and onednn.suits(x) else None
    if compute is None:
        return None
    y = np.empty(x.shape, dtype=x.dtype)
    with onednn.lock:
        compute({onednn.SRC: np.ascontiguousarray(x), onednn.DST: y})
    return y


def backward(name: str, dout: Array, x: Array) -> Array | None:
    """dx of the activation."""
    compute = _backward(name, x.size) if x.size >= LEAST and onednn.suits(dout, x) else None
    if compute is None:
        return None
    dx = np.empty(x.shape, dtype=x.dtype)
    arrays = {onednn.SRC: np.ascontiguousarray(x), onednn.DIFF_DST: np.ascontiguousarray(dout), onednn.DIFF_SRC: dx}
    with onednn.lock:
        compute(arrays)
    return dx
