"""Batch and layer normalization by oneDNN.

The statistics of a batch come from outside: oneDNN adds up a column of a hundred thousand rows in float32, which is
wrong in the fourth digit and, where the mean is large, leaves nothing of the variance.
"""

import math
from collections.abc import Callable
from ctypes import c_uint

import numpy as np

from dlcourse.backend.cpu import onednn
from dlcourse.backend.cpu.norm import copy_into_buffers, moments
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import Unsupported, require
from dlcourse.backend.kernels import norm as kernels
from dlcourse.backend.kernels.activation import add
from dlcourse.backend.kernels.norm import BatchNormSaved, RunningStats

GIVEN, AFFINE, RELU = 1, 2 | 4, 8
"""Flags: statistics are given; with a scale and a shift; with a ReLU on the result, whose signs are kept as bits."""
MAX_IMAGES = 32
MIN_SIZE = 1 << 14
"""Below so many elements the calls cost more than they save."""


def _batch(shape: tuple) -> object:
    """Rows (M, C) as N images of M / N x 1: the statistics go over N, H and W.

    oneDNN deals out images to threads and keeps some in the cache between its passes: 131,072 x 32 as one image takes
    4.8 ms, as 32 images 0.8 (two cores of an AMD EPYC, Zen 5).
    """
    images = math.gcd(shape[0], MAX_IMAGES)
    return onednn.images((images, shape[0] // images, 1, shape[1]))


def _describe(shape: tuple, eps: float, over_rows: bool, relu: bool, backward: bool) -> tuple:
    """The primitive's descriptor, and those of the array, of a statistic, of weight and bias, and of the signs kept."""
    array = _batch(shape) if over_rows else onednn.strided(shape, (shape[1], 1))
    statistic = onednn.strided((shape[1 if over_rows else 0],), (1,))
    name = "batch_normalization" if over_rows else "layer_normalization"
    more = () if over_rows else (statistic,)
    flags = c_uint(AFFINE | (RELU if relu else 0) | (GIVEN if over_rows and not backward else 0))
    forward = onednn.describe(f"{name}_forward", onednn.FORWARD_TRAINING, array, array, *more, eps, flags)
    signs = onednn.queried(forward, onednn.QUERY_WORKSPACE) if relu else None
    if signs is not None and onednn.size(signs) * 8 != shape[0] * shape[1]:
        raise Unsupported("signs are not kept as bits")
    affine = onednn.strided((shape[1],), (1,))
    if not backward:
        return forward, array, statistic, affine, signs
    arrays = array, array, array, *more
    descriptor = onednn.describe(f"{name}_backward", onednn.BACKWARD, *arrays, eps, flags, forward)
    return descriptor, array, statistic, affine, signs


@onednn.built_once
def _forward(shape: tuple, eps: float, over_rows: bool, relu: bool) -> Callable:
    descriptor, array, statistic, affine, signs = _describe(shape, eps, over_rows, relu, backward=False)
    layouts = {onednn.SRC: array, onednn.DST: array, onednn.MEAN: statistic, onednn.VARIANCE: statistic}
    layouts |= {onednn.WORKSPACE: signs} if relu else {}
    return onednn.Primitive(descriptor, layouts | {onednn.SCALE: affine, onednn.SHIFT: affine})


@onednn.built_once
def _backward(shape: tuple, over_rows: bool, relu: bool) -> Callable:
    # eps = 0: the kernels hand 1 / sqrt(var + eps) on, whose inverse square takes the variance's place.
    descriptor, array, statistic, affine, signs = _describe(shape, 0.0, over_rows, relu, backward=True)
    layouts = dict.fromkeys((onednn.SRC, onednn.DIFF_DST, onednn.DIFF_SRC), array)
    layouts |= {onednn.MEAN: statistic, onednn.VARIANCE: statistic} | ({onednn.WORKSPACE: signs} if relu else {})
    affines: tuple[int, ...] = (onednn.SCALE, onednn.DIFF_SCALE, onednn.DIFF_SHIFT)
    # Layer normalization counts the shift among its inputs, though the gradient does not depend on it.
    affines = affines if over_rows else (*affines, onednn.SHIFT)
    return onednn.Primitive(descriptor, layouts | dict.fromkeys(affines, affine))


@onednn.override(kernels.batch_norm)
def batch_norm(
    x: Array, weight: Array, bias: Array, residual: Array | None, eps: float, running: RunningStats | None, relu: bool
) -> tuple[Array, Array, Array, Array | None]:
    require(residual is None and x.size >= MIN_SIZE and onednn.suits(x, weight, bias))
    compute = _forward(x.shape, float(eps), True, relu)
    x = np.ascontiguousarray(x)
    mean, variance, inverse = moments(x, eps)
    # oneDNN's ReLU makes 0 of NaN, and a net that has diverged would go on as if nothing were wrong.
    require(not relu or all(np.isfinite(array).all() for array in (mean, variance, weight, bias)))
    y, bits = np.empty_like(x), np.empty(x.size // 8, dtype=np.uint8) if relu else None
    arrays = {onednn.SRC: x, onednn.DST: y, onednn.MEAN: mean, onednn.VARIANCE: variance}
    arrays |= {onednn.SCALE: np.ascontiguousarray(weight), onednn.SHIFT: np.ascontiguousarray(bias)}
    compute(arrays | ({onednn.WORKSPACE: bits} if relu else {}))
    if running is not None:
        running.update(mean, inverse, eps)
    return y, mean, inverse, bits


@onednn.override(kernels.layer_norm)
def layer_norm(x: Array, weight: Array, bias: Array, eps: float) -> tuple[Array, Array, Array]:
    require(x.size >= MIN_SIZE and onednn.suits(x, weight, bias))
    compute = _forward(x.shape, float(eps), False, False)
    y, mean = np.empty(x.shape, dtype=x.dtype), np.empty(len(x), dtype=x.dtype)
    variance = np.empty_like(mean)
    arrays = {onednn.SRC: np.ascontiguousarray(x), onednn.DST: y, onednn.MEAN: mean, onednn.VARIANCE: variance}
    arrays |= {onednn.SCALE: np.ascontiguousarray(weight), onednn.SHIFT: np.ascontiguousarray(bias)}
    compute(arrays)
    variance += x.dtype.type(eps)
    np.sqrt(variance, out=variance)
    return y, mean[:, None], np.divide(1, variance, out=variance)[:, None]


@onednn.override(kernels.batch_norm_grad)
def batch_norm_grad(
    dout: Array, more: Array | None, saved: BatchNormSaved, grad_buffers: tuple
) -> tuple[Array, Array, Array, Array | None]:
    require(more is None and saved.y is None)
    return *_gradient(dout, saved, grad_buffers, over_rows=True), None


@onednn.override(kernels.layer_norm_grad)
def layer_norm_grad(
    dout: Array, more: Array | None, x: Array, weight: Array, mean: Array, inverse: Array, grad_buffers: tuple
) -> tuple[Array, Array, Array]:
    dx, dweight, dbias = _gradient(dout, BatchNormSaved(x, weight, mean, inverse), grad_buffers, over_rows=False)
    return dx if more is None else add(dx, more), dweight, dbias


def _gradient(dout: Array, saved: BatchNormSaved, grad_buffers: tuple, over_rows: bool) -> tuple[Array, Array, Array]:
    """dx, dw and db."""
    x, weight, mean, inverse, bits, _ = saved
    require(x.size >= MIN_SIZE and onednn.suits(dout, x, weight, mean, inverse))
    compute = _backward(x.shape, over_rows, bits is not None)
    dx = np.empty(x.shape, dtype=x.dtype)
    dweight, dbias = np.empty(x.shape[1], dtype=x.dtype), np.empty(x.shape[1], dtype=x.dtype)
    variance = np.ascontiguousarray(1 / (inverse * inverse)).reshape(-1)
    arrays = {onednn.SRC: np.ascontiguousarray(x), onednn.DIFF_DST: np.ascontiguousarray(dout), onednn.DIFF_SRC: dx}
    arrays |= {onednn.MEAN: np.ascontiguousarray(mean).reshape(-1), onednn.VARIANCE: variance}
    arrays |= {onednn.SCALE: np.ascontiguousarray(weight), onednn.DIFF_SCALE: dweight, onednn.DIFF_SHIFT: dbias}
    if not over_rows:
        arrays[onednn.SHIFT] = arrays[onednn.SCALE]
    if bits is not None:
        arrays[onednn.WORKSPACE] = bits
    compute(arrays)
    return copy_into_buffers((dx, dweight, dbias), grad_buffers)
