"""Pooling by oneDNN: one pass over the images.

What oneDNN keeps for the gradient of the maximum is the number of the window's place that held the largest element, one
byte each: the same as the reference's, so either of the two can go on from the other's.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from dlcourse.backend.cpu import onednn
from dlcourse.backend.cpu.finite import finite
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import Unsupported, require
from dlcourse.backend.kernels import pool as kernels
from dlcourse.backend.kernels.pool import PoolGeometry

MAX, AVERAGE = 0x1FF, 0x2FF
"""Algorithms; the average counts padding."""


class _Geometry:
    def __init__(self, algorithm: int, shape: tuple, geometry: PoolGeometry):
        y_shape, (window, stride, padding, dilation) = geometry.out_shape(shape), geometry
        self.x, self.y = onednn.images(shape), onednn.images(y_shape)
        # What the last window reaches beyond the image on the far side.
        reach = tuple(
            max(0, (count - 1) * s + d * (k - 1) + 1 - length - p)
            for count, s, d, k, length, p in zip(
                y_shape[1:3], stride, dilation, window, shape[1:3], padding, strict=True
            )
        )
        gaps = dilation[0] - 1, dilation[1] - 1
        self.steps = stride, window, gaps, padding, reach
        what = onednn.FORWARD_TRAINING, algorithm
        self.forward = onednn.describe("pooling_forward", *what, self.x, self.y, *self.steps)
        self.kept = {}
        if algorithm == MAX:
            self.kept = {onednn.WORKSPACE: onednn.queried(self.forward, onednn.QUERY_WORKSPACE)}
            if onednn.size(self.kept[onednn.WORKSPACE]) != math.prod(y_shape):
                raise Unsupported("places are not kept one byte each")


@onednn.built_once
def _forward(*settings: Any) -> Callable:
    of = _Geometry(*settings)
    return onednn.Primitive(of.forward, {onednn.SRC: of.x, onednn.DST: of.y} | of.kept)


@onednn.built_once
def _backward(algorithm: int, *settings: Any) -> Callable:
    of = _Geometry(algorithm, *settings)
    descriptor = onednn.describe("pooling_backward", algorithm, of.x, of.y, *of.steps, of.forward)
    return onednn.Primitive(descriptor, {onednn.DIFF_DST: of.y, onednn.DIFF_SRC: of.x} | of.kept)


@onednn.override(kernels.max_pool2d)
def max_pool2d(x: Array, geometry: PoolGeometry) -> tuple[Array, Array]:
    require(onednn.suits(x))
    compute = _forward(MAX, x.shape, geometry)
    require(finite(x))  # of NaN and infinities oneDNN leaves out the first and makes -3.4e38 of -inf
    y = np.empty(geometry.out_shape(x.shape), dtype=x.dtype)
    argmax = np.empty(y.shape, dtype=np.uint8)
    compute({onednn.SRC: np.ascontiguousarray(x), onednn.DST: y, onednn.WORKSPACE: argmax})
    return y, argmax


@onednn.override(kernels.max_pool2d_grad)
def max_pool2d_grad(dout: Array, argmax: Array, x_shape: tuple, geometry: PoolGeometry) -> Array:
    require(onednn.suits(dout) and argmax.dtype == np.uint8)
    compute = _backward(MAX, tuple(x_shape), geometry)
    dx = np.empty(x_shape, dtype=dout.dtype)
    arrays = {onednn.DIFF_DST: np.ascontiguousarray(dout), onednn.WORKSPACE: np.ascontiguousarray(argmax)}
    compute(arrays | {onednn.DIFF_SRC: dx})
    return dx


@onednn.override(kernels.avg_pool2d)
def avg_pool2d(x: Array, geometry: PoolGeometry) -> Array:
    require(onednn.suits(x))
    compute = _forward(AVERAGE, x.shape, geometry)
    y = np.empty(geometry.out_shape(x.shape), dtype=x.dtype)
    compute({onednn.SRC: np.ascontiguousarray(x), onednn.DST: y})
    return y


@onednn.override(kernels.avg_pool2d_grad)
def avg_pool2d_grad(dout: Array, x_shape: tuple, geometry: PoolGeometry) -> Array:
    require(onednn.suits(dout))
    compute = _backward(AVERAGE, tuple(x_shape), geometry)
    dx = np.empty(x_shape, dtype=dout.dtype)
    compute({onednn.DIFF_DST: np.ascontiguousarray(dout), onednn.DIFF_SRC: dx})
    return dx
