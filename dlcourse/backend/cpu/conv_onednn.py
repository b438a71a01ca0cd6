"""Convolution by oneDNN: images channels-last in place, weights reordered into the layout that it wants."""

from collections.abc import Callable
from ctypes import c_void_p
from typing import Any

import numpy as np

from dlcourse.backend.cpu import onednn
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import conv as kernels
from dlcourse.backend.kernels import require
from dlcourse.backend.kernels.conv import ConvGeometry
from dlcourse.backend.kernels.grad_buffers import takes

CONVOLUTION_DIRECT = 1


class _Geometry:
    """The descriptors that the three passes of one shape share."""

    def __init__(self, x: tuple, weight: tuple, geometry: ConvGeometry):
        out, kh, kw, wide = weight
        stride, padding, dilation, groups = geometry
        height, width = geometry.out_size(x, (kh, kw))
        self.x, self.y = onednn.images(x), onednn.images((x[0], height, width, out))
        strides: tuple = (kh * kw * wide, 1, kw * wide, wide)  # of (O, C, kh, kw), as it lies
        shape: tuple = (out, wide, kh, kw)
        if groups > 1:
            shape, strides = (groups, out // groups, *shape[1:]), (out // groups * strides[0], *strides)
        self.weight, self.any_weight = onednn.strided(shape, strides), onednn.strided(shape, None)
        self.bias = onednn.strided((out,), (1,))
        # What the window reaches beyond the image on the far side; negative where its last steps leave some over.
        reach = [
            (size - 1) * s + (k - 1) * d + 1 - length - p
            for size, s, k, d, length, p in zip(
                (height, width), stride, (kh, kw), dilation, x[1:3], padding, strict=True
            )
        ]
        self.steps = stride, (dilation[0] - 1, dilation[1] - 1), padding, tuple(reach)

    def describe_forward(self, bias: bool) -> c_void_p:
        arrays = self.x, self.any_weight, self.bias if bias else None, self.y
        settings = onednn.FORWARD_TRAINING, CONVOLUTION_DIRECT
        return onednn.describe("convolution_forward", *settings, *arrays, *self.steps)


@onednn.built_once
def _forward(bias: bool, *shape: Any) -> Callable:
    of = _Geometry(*shape)
    descriptor = of.describe_forward(bias)
    layouts = {onednn.SRC: of.x, onednn.WEIGHTS: of.weight, onednn.DST: of.y} | ({onednn.BIAS: of.bias} if bias else {})
    return onednn.Reordering(descriptor, layouts, {onednn.WEIGHTS: onednn.queried(descriptor, onednn.QUERY_WEIGHTS)})


@onednn.built_once
def _input_grad(*shape: Any) -> Callable:
    of = _Geometry(*shape)
    arrays, forward = (of.x, of.any_weight, of.y), of.describe_forward(False)
    descriptor = onednn.describe("convolution_backward_data", CONVOLUTION_DIRECT, *arrays, *of.steps, forward)
    layouts = {onednn.DIFF_DST: of.y, onednn.WEIGHTS: of.weight, onednn.DIFF_SRC: of.x}
    return onednn.Reordering(descriptor, layouts, {onednn.WEIGHTS: onednn.queried(descriptor, onednn.QUERY_WEIGHTS)})


@onednn.built_once
def _weight_grad(*shape: Any) -> Callable:
    of = _Geometry(*shape)
    arrays, forward = (of.x, of.any_weight, None, of.y), of.describe_forward(False)
    descriptor = onednn.describe("convolution_backward_weights", CONVOLUTION_DIRECT, *arrays, *of.steps, forward)
    layouts = {onednn.DIFF_DST: of.y, onednn.SRC: of.x, onednn.DIFF_WEIGHTS: of.weight}
    inner = {onednn.DIFF_WEIGHTS: onednn.queried(descriptor, onednn.QUERY_DIFF_WEIGHTS)}
    return onednn.Reordering(descriptor, layouts, inner, results=inner)


@onednn.override(kernels.conv2d)
def conv2d(x: Array, weight: Array, bias: Array | None, geometry: ConvGeometry) -> Array:
    require(onednn.suits(x, weight))
    compute = _forward(bias is not None, x.shape, weight.shape, geometry)
    y = np.empty((len(x), *geometry.out_size(x.shape, weight.shape[1:3]), len(weight)), dtype=x.dtype)
    arrays = {onednn.SRC: np.ascontiguousarray(x), onednn.WEIGHTS: np.ascontiguousarray(weight), onednn.DST: y}
    compute(arrays if bias is None else arrays | {onednn.BIAS: np.ascontiguousarray(bias, dtype=x.dtype)})
    return y


@onednn.override(kernels.conv2d_input_grad)
def conv2d_input_grad(dout: Array, weight: Array, x_shape: tuple, geometry: ConvGeometry) -> Array:
    require(onednn.suits(dout, weight))
    compute = _input_grad(tuple(x_shape), weight.shape, geometry)
    dx = np.empty(x_shape, dtype=dout.dtype)
    arrays = {onednn.DIFF_DST: np.ascontiguousarray(dout), onednn.WEIGHTS: np.ascontiguousarray(weight)}
    compute(arrays | {onednn.DIFF_SRC: dx})
    return dx


@onednn.override(kernels.conv2d_weight_grad)
def conv2d_weight_grad(dout: Array, x: Array, weight_shape: tuple, geometry: ConvGeometry, out: Array | None) -> Array:
    require(onednn.suits(dout, x) and takes(out, dout.dtype))
    compute = _weight_grad(x.shape, tuple(weight_shape), geometry)
    dweight = np.empty(weight_shape, dtype=dout.dtype) if out is None else out
    arrays = {onednn.DIFF_DST: np.ascontiguousarray(dout), onednn.SRC: np.ascontiguousarray(x)}
    compute(arrays | {onednn.DIFF_WEIGHTS: dweight})
    return dweight
