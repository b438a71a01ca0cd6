"""Attention by oneDNN: batched products on arrays as they lie, softmax in place.

Only what every query of a batch sees in the same way comes here: a mask of its own, or rows that see no key, are the
array code's.
"""

import math
from collections.abc import Callable
from ctypes import c_void_p
from typing import Any

import numpy as np

from dlcourse.backend.cpu import onednn
from dlcourse.backend.cpu.attention import grad_places, places
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import attention as kernels
from dlcourse.backend.kernels.attention import AttentionSettings

SOFTMAX = 0x30000
MIN_SIZE = 1 << 14
"""Scores below which the calls cost more than they save."""
Layout = tuple[tuple[int, ...], tuple[int, ...]]


def _layout(array: Array) -> Layout:
    """Shape and strides in elements."""
    return array.shape, tuple(stride // array.itemsize for stride in array.strides)


@onednn.built_once
def _product(a: Layout, b: Layout, y: Layout, scale: float) -> Callable:
    layouts = [onednn.strided(*layout) for layout in (a, b, y)]
    after = [] if scale == 1 else [("eltwise", onednn.LINEAR, scale, 0.0)]
    descriptor = onednn.describe("matmul", layouts[0], layouts[1], None, layouts[2], after=after)
    return onednn.Primitive(descriptor, dict(zip((onednn.SRC, onednn.WEIGHTS, onednn.DST), layouts, strict=True)))


def _multiply(a: Array, b: Array, y: Array, scale: float = 1.0) -> None:
    """y <- scale a b, matrices in the last two axes."""
    compute = _product(_layout(a), _layout(b), _layout(y), scale)
    compute({onednn.SRC: a, onednn.WEIGHTS: b, onednn.DST: y})


@onednn.built_once
def _hide(count: int, size: int) -> Callable:
    """Add one (T, S) to each of ``count`` of them."""
    scores, hidden = onednn.strided((count, size), (size, 1)), onednn.strided((1, size), (size, 1))
    descriptor = onednn.describe("binary", onednn.ADD, scores, hidden, scores)
    return onednn.Primitive(descriptor, {onednn.SRC: scores, onednn.SRC_1: hidden, onednn.DST: scores})


def _describe_softmax(rows: int, keys: int) -> tuple[c_void_p, c_void_p]:
    layout = onednn.strided((rows, keys), (keys, 1))
    forward = onednn.describe("softmax_forward", onednn.FORWARD_TRAINING, SOFTMAX, layout, layout, 1)
    return forward, layout


@onednn.built_once
def _softmax(rows: int, keys: int) -> Callable:
    forward, layout = _describe_softmax(rows, keys)
    return onednn.Primitive(forward, {onednn.SRC: layout, onednn.DST: layout})


@onednn.built_once
def _softmax_grad(rows: int, keys: int) -> Callable:
    forward, layout = _describe_softmax(rows, keys)
    descriptor = onednn.describe("softmax_backward", SOFTMAX, layout, layout, layout, 1, forward)
    return onednn.Primitive(descriptor, dict.fromkeys((onednn.DST, onednn.DIFF_DST, onednn.DIFF_SRC), layout))


@onednn.override(kernels.attention)
def attention(q: Array, k: Array, v: Array, settings: AttentionSettings) -> tuple[Array, Any]:
    mask, causal, dropout_mask, _ = settings
    rows, steps, keys = math.prod(q.shape[:3]), q.shape[2], k.shape[2]
    # Where there are more queries than keys the first ones see none.
    if rows * keys < MIN_SIZE or mask is not None or (causal and steps > keys) or not onednn.suits(q, k, v):
        return NotImplemented
    softmax = _softmax(rows, keys)
    y, p, hidden = places(q, k, v, causal)
    _multiply(q, k.swapaxes(-1, -2), p, q.shape[-1] ** -0.5)
    if hidden is not None:
        hide = _hide(p.size // hidden.size, hidden.size)
        hide({onednn.SRC: p, onednn.SRC_1: hidden, onednn.DST: p})
    softmax({onednn.SRC: p, onednn.DST: p})
    _multiply(p if dropout_mask is None else p * dropout_mask, v, y)
    return y, kernels.Weights(p)


@onednn.override(kernels.attention_grad)
def attention_grad(
    dout: Array, q: Array, k: Array, v: Array, settings: AttentionSettings, saved: Any
) -> tuple[Array, Array, Array]:
    p, scale, dropout_mask = saved.p, q.shape[-1] ** -0.5, settings.dropout_mask
    if p.size < MIN_SIZE or not onednn.suits(dout, q, k, v, p) or not p.flags.c_contiguous:
        return NotImplemented
    compute = _softmax_grad(p.size // p.shape[-1], p.shape[-1])
    ds, (dq, dk, dv) = np.empty_like(p), grad_places(q, k, v)
    used = p if dropout_mask is None else p * dropout_mask
    _multiply(used.swapaxes(-1, -2), dout, dv)
    _multiply(dout, v.swapaxes(-1, -2), ds)
    if dropout_mask is not None:
        ds *= dropout_mask
    compute({onednn.DST: p, onednn.DIFF_DST: ds, onednn.DIFF_SRC: ds})
    _multiply(ds, k, dq, scale)
    _multiply(ds.swapaxes(-1, -2), q, dk, scale)
    return dq, dk, dv
