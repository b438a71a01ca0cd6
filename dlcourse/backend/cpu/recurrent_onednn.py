"""A layer of LSTM by oneDNN, forward and backward.

Sequences go in and out step by step, (T, N, ...), which is worth the two copies: measured on two cores of a Xeon
(Sapphire Rapids), 64 sequences of 64 steps, 64 -> 256: 11 and 22 ms so, 17 and 25 on arrays as they lie, 31 and 50 by
one NumPy product and a few passes a step.
"""

from ctypes import c_uint, c_void_p
from typing import Any

import numpy as np

from dlcourse.backend.cpu import onednn
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import recurrent as kernels
from dlcourse.backend.kernels.grad_buffers import copy_into

FORWARDS, FLAGS = 1, c_uint(0)
SRC, SRC_STATE, SRC_CELL, DST, DST_STATE, DST_CELL = 1, 2, 3, 17, 18, 19
WEIGHT, WEIGHT_STATE, BIAS, DIFF = 33, 34, 41, 128
MIN_SIZE = 1 << 21
"""Multiplications of the recurrence below which the calls and copies cost more than they save."""


class Layer:
    """The primitives of one shape (N, T, D, H), made once."""

    def __init__(self, n: int, steps: int, width: int, size: int):
        self.shape = n, steps, width, size
        x, y = _dense(steps, n, width), _dense(steps, n, size)
        state, bias = _dense(1, 1, n, size), _dense(1, 1, 4, size)
        free = [onednn.strided((1, 1, inner, 4, size), None) for inner in (width, size)]
        # W (4H, in) as oneDNN counts it: layer, direction, in, gate, out.
        plain = [
            onednn.strided((1, 1, inner, 4, size), (4 * size * inner, 4 * size * inner, 1, size * inner, inner))
            for inner in (width, size)
        ]
        ends = bias, y, state, state
        forward = onednn.describe(
            "lstm_forward", onednn.FORWARD_TRAINING, FORWARDS,
            x, state, state, *free, None, None, *ends, FLAGS,
        )  # fmt: skip
        backward = onednn.describe(
            "lstm_backward", onednn.BACKWARD, FORWARDS,
            x, state, state, *free, None, None, *ends, x, state, state, *free, None, None, *ends, FLAGS, forward,
        )  # fmt: skip
        self.workspace = onednn.queried(forward, onednn.QUERY_WORKSPACE)
        layouts = dict(zip((SRC, SRC_STATE, SRC_CELL, BIAS, DST, DST_STATE, DST_CELL),
                           (x, state, state, bias, y, state, state), strict=True))  # fmt: skip
        layouts[onednn.WORKSPACE] = self.workspace
        diffs = {DIFF + which: layout for which, layout in layouts.items() if which != onednn.WORKSPACE}
        inner = [[_weights(of, what, i) for i in range(2)] for of, what in (
            (forward, onednn.QUERY_WEIGHTS), (backward, onednn.QUERY_WEIGHTS), (backward, onednn.QUERY_DIFF_WEIGHTS)
        )]  # fmt: skip
        self.enter_forward, self.enter_backward = (
            [onednn.Reorder(p, i, inward=True) for p, i in zip(plain, of, strict=True)] for of in inner[:2]
        )
        self.leave = [onednn.Reorder(p, i, inward=False) for p, i in zip(plain, inner[2], strict=True)]
        names = WEIGHT, WEIGHT_STATE
        self.forward = onednn.Primitive(forward, layouts | dict(zip(names, inner[0], strict=True)))
        weights = zip((*names, DIFF + WEIGHT, DIFF + WEIGHT_STATE), (*inner[1], *inner[2]), strict=True)
        self.backward = onednn.Primitive(backward, layouts | diffs | dict(weights))


class Saved:
    """What the forward pass leaves to the backward one."""

    def __init__(self, layer: Layer, arrays: dict[int, Array]):
        self.layer, self.arrays = layer, arrays


@onednn.built_once
def _layer(*shape: int) -> Layer:
    return Layer(*shape)


@onednn.override(kernels.lstm_layer)
def lstm_layer(
    x: Array, h0: Array, c0: Array, weight_ih: Array, weight_hh: Array, bias: Array
) -> tuple[Array, Array, Any]:
    (n, steps, width), size = x.shape, h0.shape[1]
    if n * steps * weight_hh.size < MIN_SIZE or not onednn.suits(x, h0, c0, weight_ih, weight_hh, bias):
        return NotImplemented
    layer = _layer(n, steps, width, size)
    arrays = {SRC: _by_steps(x), SRC_STATE: h0, SRC_CELL: c0, BIAS: bias}
    arrays = {which: np.ascontiguousarray(array) for which, array in arrays.items()}
    arrays |= {DST: np.empty((steps, n, size), np.float32)}
    arrays |= {which: np.empty((n, size), np.float32) for which in (DST_STATE, DST_CELL)}
    arrays[onednn.WORKSPACE] = np.empty(onednn.size(layer.workspace), np.uint8)
    with onednn.lock:
        weights = _entered(layer.enter_forward, weight_ih, weight_hh)
        layer.forward(arrays | weights)
    return _by_sequences(arrays[DST]), arrays[DST_CELL], Saved(layer, arrays)


@onednn.override(kernels.lstm_layer_grad)
def lstm_layer_grad(
    dhidden: Array, dcell: Array | None, inputs: tuple, hidden: Array, saved: Any, grad_buffers: tuple
) -> tuple[Array, Array, Array, Array, Array, Array]:
    if not isinstance(saved, Saved):  # another implementation's forward pass
        return NotImplemented
    layer, (weight_ih, weight_hh) = saved.layer, inputs[3:5]
    n, steps, width, size = layer.shape
    # The layer's last state is a slice of its output here: no gradient comes to it by itself.
    diffs = {DST: _by_steps(dhidden), DST_STATE: np.zeros((n, size), np.float32)}
    diffs[DST_CELL] = np.zeros((n, size), np.float32) if dcell is None else np.ascontiguousarray(dcell)
    # oneDNN adds to the gradients of weights and bias.
    shapes = {SRC: (steps, n, width), SRC_STATE: (n, size), SRC_CELL: (n, size), BIAS: (4 * size,)}
    diffs |= {which: np.zeros(shape, np.float32) for which, shape in shapes.items()}
    given = zip(grad_buffers[:2], (weight_ih, weight_hh), strict=True)
    dweights = [np.empty(w.shape, np.float32) if to is None else to for to, w in given]
    with onednn.lock:
        weights = _entered(layer.enter_backward, weight_ih, weight_hh)
        places = [reorder.place(dweight) for reorder, dweight in zip(layer.leave, dweights, strict=True)]
        for place in places:
            place.fill(0)
        weights |= {DIFF + WEIGHT: places[0], DIFF + WEIGHT_STATE: places[1]}
        layer.backward(saved.arrays | {DIFF + which: array for which, array in diffs.items()} | weights)
        for reorder, dweight in zip(layer.leave, dweights, strict=True):
            reorder.leave(dweight)
    dbias = copy_into(diffs[BIAS], grad_buffers[2])
    return _by_sequences(diffs[SRC]), diffs[SRC_STATE], diffs[SRC_CELL], *dweights, dbias


def _dense(*shape: int) -> c_void_p:
    return onednn.strided(shape, tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape))))


def _weights(descriptor: c_void_p, what: int, index: int) -> c_void_p:
    return c_void_p(onednn.library().dnnl_primitive_desc_query_md(descriptor, what, index))


def _entered(reorders: list[onednn.Reorder], weight_ih: Array, weight_hh: Array) -> dict[int, Array]:
    return {
        which: reorder.enter(np.ascontiguousarray(weight))
        for which, reorder, weight in zip((WEIGHT, WEIGHT_STATE), reorders, (weight_ih, weight_hh), strict=True)
    }


def _by_steps(x: Array) -> Array:
    """(N, T, D) as a contiguous (T, N, D), and so back."""
    return np.ascontiguousarray(x.swapaxes(0, 1))


_by_sequences = _by_steps
