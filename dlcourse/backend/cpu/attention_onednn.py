"""Attention by oneDNN: batched products on arrays as they lie, softmax in place; None where that does not suit.

Only what every query of a batch sees in the same way comes here: a mask of its own, or rows that see no key, are the
array code's.
"""

from collections.abc import Callable

import numpy as np

from dlcourse.backend.cpu import onednn
from dlcourse.backend.device import Array

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
    descriptor = onednn.describe("matmul", onednn.engine(), layouts[0], layouts[1], None, layouts[2], after=after)
    return onednn.Primitive(descriptor, dict(zip((onednn.SRC, onednn.WEIGHTS, onednn.DST), layouts, strict=True)))


def _multiply(a: Array, b: Array, y: Array, scale: float = 1.0) -> bool:
    """y <- scale a b, matrices in the last two axes. Call with the lock held."""
    compute = _product(_layout(a), _layout(b), _layout(y), scale)
    if compute is None:
        return False
    compute({onednn.SRC: a, onednn.WEIGHTS: b, onednn.DST: y})
    return True


@onednn.built_once
def _hide(count: int, size: int) -> Callable:
    """Add one (T, S) to each of ``count`` of them."""
    scores, hidden = onednn.strided((count, size), (size, 1)), onednn.strided((1, size), (size, 1))
    descriptor = onednn.describe("binary", onednn.engine(), onednn.ADD, scores, hidden, scores)
    return onednn.Primitive(descriptor, {onednn.SRC: scores, onednn.SRC_1: hidden, onednn.DST: scores})


def _describe_softmax(rows: int, keys: int) -> tuple[object, object]:
    layout = onednn.strided((rows, keys), (keys, 1))
    forward = onednn.describe("softmax_forward", onednn.engine(), onednn.FORWARD_TRAINING, SOFTMAX, layout, layout, 1)
    return forward, layout


@onednn.built_once
def _softmax(rows: int, keys: int) -> Callable:
    forward, layout = _describe_softmax(rows, keys)
    return onednn.Primitive(forward, {onednn.SRC: layout, onednn.DST: layout})


@onednn.built_once
def _softmax_grad(rows: int, keys: int) -> Callable:
    forward, layout = _describe_softmax(rows, keys)
    descriptor = onednn.describe("softmax_backward", onednn.engine(), SOFTMAX, layout, layout, layout, 1, forward)
    return onednn.Primitive(descriptor, dict.fromkeys((onednn.DST, onednn.DIFF_DST, onednn.DIFF_SRC), layout))


def forward(q: Array, k: Array, v: Array, y: Array, p: Array, hidden: Array | None, kept: Array | None) -> bool:
    """Fill y and the weights p; ``hidden`` (T, S) is added to the scores."""
    rows = p.size // p.shape[-1] if p.size else 0
    if p.size < MIN_SIZE or not onednn.suits(q, k, v) or not _softmax(rows, p.shape[-1]):
        return False
    with onednn.lock:
        if not _multiply(q, k.swapaxes(-1, -2), p, q.shape[-1] ** -0.5):
            return False
        hide = None if hidden is None else _hide(p.size // hidden.size, hidden.size)
        if hide is not None:
            hide({onednn.SRC: p, onednn.SRC_1: hidden, onednn.DST: p})
        elif hidden is not None:
            p += hidden
        _softmax(rows, p.shape[-1])({onednn.SRC: p, onednn.DST: p})
        return _multiply(p if kept is None else p * kept, v, y)


def backward(
    dout: Array, q: Array, k: Array, v: Array, p: Array, kept: Array | None, dq: Array, dk: Array, dv: Array
) -> bool:
    """Fill dq, dk and dv."""
    rows = p.size // p.shape[-1] if p.size else 0
    if p.size < MIN_SIZE or not onednn.suits(dout, q, k, v, p) or not p.flags.c_contiguous:
        return False
    compute, scale = _softmax_grad(rows, p.shape[-1]), q.shape[-1] ** -0.5
    if compute is None:
        return False
    ds = np.empty_like(p)
    with onednn.lock:
        used = p if kept is None else p * kept
        if not (_multiply(used.swapaxes(-1, -2), dout, dv) and _multiply(dout, v.swapaxes(-1, -2), ds)):
            return False
        if kept is not None:
            ds *= kept
        compute({onednn.DST: p, onednn.DIFF_DST: ds, onednn.DIFF_SRC: ds})
        return _multiply(ds, k, dq, scale) and _multiply(ds.swapaxes(-1, -2), q, dk, scale)
