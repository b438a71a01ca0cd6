"""Pooling on the GPU: one kernel each way, without atomics."""

import numpy as np

from dlcourse.backend.cuda.program import blocks, program, type_suffix
from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import override
from dlcourse.backend.kernels import pool as kernels
from dlcourse.backend.kernels.conv import out_size

Pair = tuple[int, int]
THREADS = 256


def _launch(
    name: str, arrays: tuple[Array, ...], count: int, x_shape: tuple, window: Pair, stride: Pair, padding: Pair
) -> None:
    size = out_size(x_shape, window, stride, padding, (1, 1))
    numbers = map(np.int32, (*x_shape[1:], *size, *window, *stride, *padding))
    program("pool").launch(name, blocks(count, THREADS), (THREADS,), (*arrays, np.int64(count), *numbers))


def _out_shape(x_shape: tuple, window: Pair, stride: Pair, padding: Pair) -> tuple[int, ...]:
    return (x_shape[0], *out_size(x_shape, window, stride, padding, (1, 1)), x_shape[3])


@override(kernels.max_pool2d, "cuda", half=True)
def max_pool2d(x: Array, window: Pair, stride: Pair, padding: Pair) -> tuple[Array, Array]:
    name, xp = type_suffix(x), array_module(x)
    if name is None or not x.size or window[0] * window[1] > 256:
        return kernels.max_pool2d.reference(x, window, stride, padding)
    shape = _out_shape(x.shape, window, stride, padding)
    y, place = xp.empty(shape, dtype=x.dtype), xp.empty(shape, dtype=np.uint8)
    _launch(f"max_pool_{name}", (xp.ascontiguousarray(x), y, place), y.size, x.shape, window, stride, padding)
    return y, place


@override(kernels.max_pool2d_grad, "cuda", half=True)
def max_pool2d_grad(dout: Array, place: Array, x_shape: tuple, window: Pair, stride: Pair, padding: Pair) -> Array:
    name, xp = type_suffix(dout), array_module(dout)
    if name is None or not dout.size or place.dtype != np.uint8:
        return kernels.max_pool2d_grad.reference(dout, place, x_shape, window, stride, padding)
    dx = xp.empty(x_shape, dtype=dout.dtype)
    arrays = xp.ascontiguousarray(dout), xp.ascontiguousarray(place), dx
    _launch(f"max_pool_grad_{name}", arrays, dx.size, tuple(x_shape), window, stride, padding)
    return dx


@override(kernels.avg_pool2d, "cuda", half=True)
def avg_pool2d(x: Array, window: Pair, stride: Pair, padding: Pair) -> Array:
    name, xp = type_suffix(x), array_module(x)
    if name is None or not x.size:
        return kernels.avg_pool2d.reference(x, window, stride, padding)
    y = xp.empty(_out_shape(x.shape, window, stride, padding), dtype=x.dtype)
    _launch(f"avg_pool_{name}", (xp.ascontiguousarray(x), y), y.size, x.shape, window, stride, padding)
    return y


@override(kernels.avg_pool2d_grad, "cuda", half=True)
def avg_pool2d_grad(dout: Array, x_shape: tuple, window: Pair, stride: Pair, padding: Pair) -> Array:
    name, xp = type_suffix(dout), array_module(dout)
    if name is None or not dout.size:
        return kernels.avg_pool2d_grad.reference(dout, x_shape, window, stride, padding)
    dx = xp.empty(x_shape, dtype=dout.dtype)
    _launch(f"avg_pool_grad_{name}", (xp.ascontiguousarray(dout), dx), dx.size, tuple(x_shape), window, stride, padding)
    return dx
