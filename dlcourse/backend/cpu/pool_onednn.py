"""Max pooling by oneDNN: one pass over the images. Functions give None where it is absent or does not suit.

What oneDNN keeps for the gradient is the number of the window's place that held the largest element, one byte each: the
same as the reference's, so either of the two can go on from the other's.
"""

import math
from collections.abc import Callable

import numpy as np

from dlcourse.backend.cpu import onednn
from dlcourse.backend.cpu.finite import finite
from dlcourse.backend.device import Array
from dlcourse.backend.kernels.conv import out_size

Pair = tuple[int, int]
MAX = 0x1FF


class _Geometry:
    def __init__(self, shape: tuple, window: Pair, stride: Pair, padding: Pair):
        size = out_size(shape, window, stride, padding, (1, 1))
        self.x, self.y = onednn.images(shape), onednn.images((shape[0], *size, shape[3]))
        # What the last window reaches beyond the image on the far side.
        reach = (
            max(0, (count - 1) * s + k - length - p)
            for count, s, k, length, p in zip(size, stride, window, shape[1:3], padding, strict=True)
        )
        self.steps = tuple(onednn.dims(pair) for pair in (stride, window, (0, 0), padding, tuple(reach)))
        self.forward = onednn.describe(
            "pooling_forward", onednn.engine(), onednn.FORWARD_TRAINING, MAX, self.x, self.y, *self.steps
        )
        self.place = onednn.queried(self.forward, onednn.QUERY_WORKSPACE)
        if onednn.size(self.place) != shape[0] * math.prod(size) * shape[3]:
            raise onednn.Unsupported("places are not kept one byte each")


@onednn.built_once
def _forward(*settings: tuple) -> Callable:
    of = _Geometry(*settings)
    return onednn.Primitive(of.forward, {onednn.SRC: of.x, onednn.DST: of.y, onednn.WORKSPACE: of.place})


@onednn.built_once
def _backward(*settings: tuple) -> Callable:
    of = _Geometry(*settings)
    descriptor = onednn.describe("pooling_backward", onednn.engine(), MAX, of.x, of.y, *of.steps, of.forward)
    return onednn.Primitive(descriptor, {onednn.DIFF_DST: of.y, onednn.DIFF_SRC: of.x, onednn.WORKSPACE: of.place})


def forward(x: Array, window: Pair, stride: Pair, padding: Pair) -> tuple[Array, Array] | None:
    """y and the places, see ``kernels.max_pool2d``; None also where NaN or infinities are among the elements, of which
    oneDNN leaves out the first and makes -3.4e38 of -inf."""
    compute = _forward(x.shape, window, stride, padding) if onednn.suits(x) else None
    if compute is None or not finite(x):
        return None
    y = np.empty((len(x), *out_size(x.shape, window, stride, padding, (1, 1)), x.shape[3]), dtype=x.dtype)
    place = np.empty(y.shape, dtype=np.uint8)
    with onednn.lock:
        compute({onednn.SRC: np.ascontiguousarray(x), onednn.DST: y, onednn.WORKSPACE: place})
    return y, place


def backward(dout: Array, place: Array, x_shape: tuple, window: Pair, stride: Pair, padding: Pair) -> Array | None:
    """dx, see ``kernels.max_pool2d_grad``."""
    suits = onednn.suits(dout) and place.dtype == np.uint8
    compute = _backward(tuple(x_shape), window, stride, padding) if suits else None
    if compute is None:
        return None
    dx = np.empty(x_shape, dtype=dout.dtype)
    arrays = {onednn.DIFF_DST: np.ascontiguousarray(dout), onednn.WORKSPACE: np.ascontiguousarray(place)}
    with onednn.lock:
        compute(arrays | {onednn.DIFF_SRC: dx})
    return dx
