"""Batch and layer normalisation by oneDNN. Functions give None where it is absent or does not suit."""

from collections.abc import Callable
from ctypes import c_float, c_uint

import numpy as np

from dlcourse.backend import onednn
from dlcourse.backend.device import Array

AFFINE = c_uint(2 | 4)
"""Flags: with a scale and with a shift."""
LEAST = 1 << 14
"""Below so many elements the calls cost more than they save."""


def _batch(shape: tuple) -> object:
    """Rows (M, C) as one picture of M x 1: the statistics go over N, H and W."""
    return onednn.pictures((1, shape[0], 1, shape[1]))


def _describe(shape: tuple, eps: float, over_rows: bool, backward: bool) -> tuple:
    """The primitive's descriptor, and those of the array, of a statistic, and of weight and bias."""
    array = _batch(shape) if over_rows else onednn.strided(shape, (shape[1], 1))
    statistic = onednn.strided((shape[1 if over_rows else 0],), (1,))
    name = "batch_normalization" if over_rows else "layer_normalization"
    more = () if over_rows else (statistic,)
    forward = onednn.describe(
        f"{name}_forward",
        onednn.engine(),
        onednn.FORWARD_TRAINING,
        array,
        array,
        *more,
        c_float(eps),
        AFFINE,
        None,
    )
    if not backward:
        return forward, array, statistic, onednn.strided((shape[1],), (1,))
    descriptor = onednn.describe(
        f"{name}_backward",
        onednn.engine(),
        onednn.BACKWARD,
        array,
        array,
        array,
        *more,
        c_float(eps),
        AFFINE,
        forward,
        None,
    )
    return descriptor, array, statistic, onednn.strided((shape[1],), (1,))


@onednn.built_once
def _forward(shape: tuple, eps: float, over_rows: bool) -> Callable:
    descriptor, array, statistic, affine = _describe(shape, eps, over_rows, backward=False)
    layouts = {onednn.SRC: array, onednn.DST: array, onednn.MEAN: statistic, onednn.VARIANCE: statistic}
    return onednn.Primitive(descriptor, layouts | {onednn.SCALE: affine, onednn.SHIFT: affine})


@onednn.built_once
def _backward(shape: tuple, over_rows: bool) -> Callable:
    # eps = 0: the kernels hand 1 / sqrt(var + eps) on, whose inverse square takes the variance's place.
    descriptor, array, statistic, affine = _describe(shape, 0.0, over_rows, backward=True)
    layouts = dict.fromkeys((onednn.SRC, onednn.DIFF_DST, onednn.DIFF_SRC), array)
    layouts |= {onednn.MEAN: statistic, onednn.VARIANCE: statistic}
    affines = (onednn.SCALE, onednn.DIFF_SCALE, onednn.DIFF_SHIFT)
    # Layer normalisation counts the shift among its inputs, though the gradient does not depend on it.
    affines = affines if over_rows else (*affines, onednn.SHIFT)
    return onednn.Primitive(descriptor, layouts | dict.fromkeys(affines, affine))


def forward(x: Array, weight: Array, bias: Array, eps: float, over_rows: bool) -> tuple | None:
    """y, mean and 1 / sqrt(var + eps), each statistic (C,) over the rows or (M,) over the columns."""
    if x.size < LEAST or not onednn.suits(x, weight, bias):
        return None
    compute = _forward(x.shape, float(eps), over_rows)
    if compute is None:
        return None
    y, mean = np.empty(x.shape, dtype=x.dtype), np.empty(x.shape[1 if over_rows else 0], dtype=x.dtype)
    variance = np.empty_like(mean)
    arrays = {onednn.SRC: np.ascontiguousarray(x), onednn.DST: y, onednn.MEAN: mean, onednn.VARIANCE: variance}
    arrays |= {onednn.SCALE: np.ascontiguousarray(weight), onednn.SHIFT: np.ascontiguousarray(bias)}
    with onednn.lock:
        compute(arrays)
    variance += x.dtype.type(eps)
    np.sqrt(variance, out=variance)
    return y, mean, np.divide(1, variance, out=variance)


def backward(dout: Array, x: Array, weight: Array, mean: Array, inverse: Array, over_rows: bool) -> tuple | None:
    """dx, dw and db."""
    if x.size < LEAST or not onednn.suits(dout, x, weight, mean, inverse):
        return None
    compute = _backward(x.shape, over_rows)
    if compute is None:
        return None
    dx = np.empty(x.shape, dtype=x.dtype)
    dweight, dbias = np.empty(x.shape[1], dtype=x.dtype), np.empty(x.shape[1], dtype=x.dtype)
    variance = np.ascontiguousarray(1 / (inverse * inverse)).reshape(-1)
    arrays = {onednn.SRC: np.ascontiguousarray(x), onednn.DIFF_DST: np.ascontiguousarray(dout), onednn.DIFF_SRC: dx}
    arrays |= {onednn.MEAN: np.ascontiguousarray(mean).reshape(-1), onednn.VARIANCE: variance}
    arrays |= {onednn.SCALE: np.ascontiguousarray(weight), onednn.DIFF_SCALE: dweight, onednn.DIFF_SHIFT: dbias}
    if not over_rows:
        arrays[onednn.SHIFT] = arrays[onednn.SCALE]
    with onednn.lock:
        compute(arrays)
    return dx, dweight, dbias
