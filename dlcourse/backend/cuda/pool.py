"""Pooling on the GPU: one kernel each way."""

import math

import numpy as np

from dlcourse.backend.cuda.program import name_of, program
from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import override
from dlcourse.backend.kernels import pool as kernels
from dlcourse.backend.kernels.conv import out_size

Pair = tuple[int, int]

THREADS = 256
MOST_BLOCKS = 132 * 16
"""What an H200 has in flight twice over; from there on the threads take several elements."""


@override(kernels.max_pool2d, "cuda")
def max_pool2d(x: Array, window: Pair, stride: Pair, padding: Pair) -> tuple[Array, Array]:
    name = name_of(x)
    if name is None:
        return kernels.max_pool2d.reference(x, window, stride, padding)
    xp = array_module(x)
    shape = (len(x), *out_size(x.shape, window, stride, padding, (1, 1)), x.shape[3])
    y, place = xp.empty(shape, dtype=x.dtype), xp.empty(shape, dtype=np.int32)
    arrays = xp.ascontiguousarray(x), y, place
    _launch(f"max_pool_{name}", arrays, shape, x.shape, shape, (window, stride, padding))
    return y, place


@override(kernels.max_pool2d_grad, "cuda")
def max_pool2d_grad(dout: Array, place: Array, x_shape: tuple, window: Pair, stride: Pair, padding: Pair) -> Array:
    name = name_of(dout)
    if name is None:
        return kernels.max_pool2d_grad.reference(dout, place, x_shape, window, stride, padding)
    xp = array_module(dout)
    dx = xp.empty(x_shape, dtype=dout.dtype)
    arrays = xp.ascontiguousarray(dout), xp.ascontiguousarray(place), dx
    _launch(f"max_pool_grad_{name}", arrays, x_shape, x_shape, dout.shape, (window, stride, padding))
    return dx


@override(kernels.avg_pool2d, "cuda")
def avg_pool2d(x: Array, window: Pair, stride: Pair, padding: Pair) -> Array:
    name = name_of(x)
    if name is None:
        return kernels.avg_pool2d.reference(x, window, stride, padding)
    xp = array_module(x)
    shape = (len(x), *out_size(x.shape, window, stride, padding, (1, 1)), x.shape[3])
    y = xp.empty(shape, dtype=x.dtype)
    _launch(f"avg_pool_{name}", (xp.ascontiguousarray(x), y), shape, x.shape, shape, (window, stride, padding))
    return y


@override(kernels.avg_pool2d_grad, "cuda")
def avg_pool2d_grad(dout: Array, x_shape: tuple, window: Pair, stride: Pair, padding: Pair) -> Array:
    name = name_of(dout)
    if name is None:
        return kernels.avg_pool2d_grad.reference(dout, x_shape, window, stride, padding)
    xp = array_module(dout)
    dx = xp.empty(x_shape, dtype=dout.dtype)
    arrays = xp.ascontiguousarray(dout), dx
    _launch(f"avg_pool_grad_{name}", arrays, x_shape, x_shape, dout.shape, (window, stride, padding))
    return dx


def _launch(
    name: str, arrays: tuple, result: tuple, x_shape: tuple, out_shape: tuple, settings: tuple[Pair, Pair, Pair]
) -> None:
    """A thread for each element of the result, as far as there are blocks for them."""
    total = math.prod(result)
    if not total:
        return
    # The step from the last element to where a thread's loop ends has to fit as well.
    small = max(math.prod(x_shape), math.prod(out_shape)) < 2**31
    numbers = *x_shape[1:], *out_shape[1:3], *(number for pair in settings for number in pair)
    arguments = *arrays, np.int64(total), np.int32(small), *map(np.int32, numbers)
    blocks = min(-(-total // THREADS), MOST_BLOCKS)
    program("pool").launch(name, (blocks,), (THREADS,), arguments)
