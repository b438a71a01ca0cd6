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
        # x, h0 and c0; the two weights; no peepholes and no projection; b, hidden states, last h and c.
        described = x, state, state, *free, None, None, bias, y, state, state
        settings = onednn.FORWARD_TRAINING, FORWARDS
        forward = onednn.describe("lstm_forward", *settings, *described, FLAGS)
        settings = onednn.BACKWARD, FORWARDS
        backward = onednn.describe("lstm_backward", *settings, *described, *described, FLAGS, forward)
        self.workspace = onednn.queried(forward, onednn.QUERY_WORKSPACE)
        places = SRC, SRC_STATE, SRC_CELL, WEIGHT, WEIGHT_STATE, BIAS, DST, DST_STATE, DST_CELL
        layouts = dict(zip(places, (x, state, state, *plain, bias, y, state, state), strict=True))
        diffs = {DIFF + which: layout for which, layout in layouts.items()}
        layouts[onednn.WORKSPACE] = self.workspace
        self.forward = onednn.Reordering(forward, layouts, _weights(forward, onednn.QUERY_WEIGHTS))
        inner = _weights(backward, onednn.QUERY_WEIGHTS)
        results = {DIFF + which: of for which, of in _weights(backward, onednn.QUERY_DIFF_WEIGHTS).items()}
        self.backward = onednn.Reordering(backward, layouts | diffs, inner | results, results, adds=True)


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
    arrays = {SRC: _by_steps(x), SRC_STATE: h0, SRC_CELL: c0, WEIGHT: weight_ih, WEIGHT_STATE: weight_hh, BIAS: bias}
    arrays = {which: np.ascontiguousarray(array) for which, array in arrays.items()}
    arrays |= {DST: np.empty((steps, n, size), np.float32)}
    arrays |= {which: np.empty((n, size), np.float32) for which in (DST_STATE, DST_CELL)}
    arrays[onednn.WORKSPACE] = np.empty(onednn.size(layer.workspace), np.uint8)
    layer.forward(arrays)
    return _by_steps(arrays[DST]), arrays[DST_CELL], Saved(layer, arrays)


@onednn.override(kernels.lstm_layer_grad)
def lstm_layer_grad(
    dhidden: Array, dcell: Array | None, inputs: tuple, hidden: Array, saved: Any, grad_buffers: tuple
) -> tuple[Array, Array, Array, Array, Array, Array]:
    if not isinstance(saved, Saved):  # another implementation's forward pass
        return NotImplemented
    n, steps, width, size = saved.layer.shape
    # The layer's last state is a slice of its output here: no gradient comes to it by itself.
    diffs = {DST: _by_steps(dhidden), DST_STATE: np.zeros((n, size), np.float32)}
    diffs[DST_CELL] = np.zeros((n, size), np.float32) if dcell is None else np.ascontiguousarray(dcell)
    shapes = {SRC: (steps, n, width), SRC_STATE: (n, size), SRC_CELL: (n, size), BIAS: (4 * size,)}
    diffs |= {which: np.zeros(shape, np.float32) for which, shape in shapes.items()}
    for which, weight, to in zip((WEIGHT, WEIGHT_STATE), inputs[3:5], grad_buffers[:2], strict=True):
        diffs[which] = np.empty(weight.shape, np.float32) if to is None else to
        diffs[which].fill(0)  # oneDNN adds to the gradients of weights and bias
    saved.layer.backward(saved.arrays | {DIFF + which: array for which, array in diffs.items()})
    dweights, dbias = (diffs[WEIGHT], diffs[WEIGHT_STATE]), copy_into(diffs[BIAS], grad_buffers[2])
    return _by_steps(diffs[SRC]), diffs[SRC_STATE], diffs[SRC_CELL], *dweights, dbias


def _dense(*shape: int) -> c_void_p:
    return onednn.strided(shape, tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape))))


def _weights(descriptor: c_void_p, what: int) -> dict[int, c_void_p]:
    """The layouts that oneDNN chose for the two weights."""
    return {which: onednn.queried(descriptor, what, index) for index, which in enumerate((WEIGHT, WEIGHT_STATE))}


def _by_steps(x: Array) -> Array:
    """(N, T, D) as a contiguous (T, N, D), and so back."""
    return np.ascontiguousarray(x.swapaxes(0, 1))
