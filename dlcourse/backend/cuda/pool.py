"""Pooling on the GPU: one kernel each way, without atomics."""

import math

import numpy as np

from dlcourse.backend.cuda.program import grid_for, program, type_suffix
from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import override
from dlcourse.backend.kernels import pool as kernels
from dlcourse.backend.kernels.pool import PoolGeometry

THREADS = 256


def _launch(name: str, arrays: tuple[Array, ...], count: int, x_shape: tuple, geometry: PoolGeometry) -> None:
    size, (window, stride, padding) = geometry.out_shape(x_shape)[1:3], geometry
    numbers = map(np.int32, (*x_shape[1:], *size, *window, *stride, *padding))
    program("pool").launch(name, grid_for(count, THREADS), (THREADS,), (*arrays, np.int64(count), *numbers))


@override(kernels.max_pool2d, "cuda", half=True)
def max_pool2d(x: Array, geometry: PoolGeometry) -> tuple[Array, Array]:
    name, xp = type_suffix(x), array_module(x)
    if name is None or not x.size or math.prod(geometry.window) > 256:
        return NotImplemented
    shape = geometry.out_shape(x.shape)
    y, argmax = xp.empty(shape, dtype=x.dtype), xp.empty(shape, dtype=np.uint8)
    _launch(f"max_pool_{name}", (xp.ascontiguousarray(x), y, argmax), y.size, x.shape, geometry)
    return y, argmax


@override(kernels.max_pool2d_grad, "cuda", half=True)
def max_pool2d_grad(dout: Array, argmax: Array, x_shape: tuple, geometry: PoolGeometry) -> Array:
    name, xp = type_suffix(dout), array_module(dout)
    if name is None or not dout.size or argmax.dtype != np.uint8:
        return NotImplemented
    dx = xp.empty(x_shape, dtype=dout.dtype)
    arrays = xp.ascontiguousarray(dout), xp.ascontiguousarray(argmax), dx
    _launch(f"max_pool_grad_{name}", arrays, dx.size, tuple(x_shape), geometry)
    return dx


@override(kernels.avg_pool2d, "cuda", half=True)
def avg_pool2d(x: Array, geometry: PoolGeometry) -> Array:
    name, xp = type_suffix(x), array_module(x)
    if name is None or not x.size:
        return NotImplemented
    y = xp.empty(geometry.out_shape(x.shape), dtype=x.dtype)
    _launch(f"avg_pool_{name}", (xp.ascontiguousarray(x), y), y.size, x.shape, geometry)
    return y


@override(kernels.avg_pool2d_grad, "cuda", half=True)
def avg_pool2d_grad(dout: Array, x_shape: tuple, geometry: PoolGeometry) -> Array:
    name, xp = type_suffix(dout), array_module(dout)
    if name is None or not dout.size:
        return NotImplemented
    dx = xp.empty(x_shape, dtype=dout.dtype)
    _launch(f"avg_pool_grad_{name}", (xp.ascontiguousarray(dout), dx), dx.size, tuple(x_shape), geometry)
    return dx
