"""Pooling on the GPU: one kernel each way, without atomics; in several launches from 2^31 elements on."""

import numpy as np

from dlcourse.backend.cuda.program import contiguous, divisor, override, packable, program, type_suffix
from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import pool as kernels
from dlcourse.backend.kernels import require
from dlcourse.backend.kernels.pool import PoolGeometry

EACH = 4
"""Channels of a thread, as ``pool.cu`` has it."""
MAX_ELEMENTS = 2**31 - 1
"""Of the images of one launch."""
HALVING = PoolGeometry((2, 2), (2, 2))


@override(kernels.max_pool2d, half=True)
def max_pool2d(x: Array, geometry: PoolGeometry) -> tuple[Array, Array]:
    name, xp, (rows, columns) = type_suffix(x), array_module(x), geometry.window
    require(rows * columns <= 256)
    _require_fitting(x.shape, geometry)
    shape = geometry.out_shape(x.shape)
    y, argmax = xp.empty(shape, dtype=x.dtype), xp.empty(shape, dtype=np.uint8)
    _launch("max_pool", name, (xp.ascontiguousarray(x), y, argmax), x.shape, geometry)
    return y, argmax


@override(kernels.max_pool2d_grad, half=True)
def max_pool2d_grad(dout: Array, argmax: Array, x_shape: tuple, geometry: PoolGeometry) -> Array:
    name, xp = type_suffix(dout), array_module(dout)
    require(argmax.dtype == np.uint8)
    _require_fitting(x_shape, geometry)
    dx = xp.empty(x_shape, dtype=dout.dtype)
    _launch("max_pool_grad", name, (*contiguous(dout, argmax), dx), x_shape, geometry)
    return dx


@override(kernels.avg_pool2d, half=True)
def avg_pool2d(x: Array, geometry: PoolGeometry) -> Array:
    name, xp = type_suffix(x), array_module(x)
    _require_fitting(x.shape, geometry)
    y = xp.empty(geometry.out_shape(x.shape), dtype=x.dtype)
    _launch("avg_pool", name, (xp.ascontiguousarray(x), y), x.shape, geometry)
    return y


@override(kernels.avg_pool2d_grad, half=True)
def avg_pool2d_grad(dout: Array, x_shape: tuple, geometry: PoolGeometry) -> Array:
    name, xp = type_suffix(dout), array_module(dout)
    _require_fitting(x_shape, geometry)
    dx = xp.empty(x_shape, dtype=dout.dtype)
    _launch("avg_pool_grad", name, (xp.ascontiguousarray(dout), dx), x_shape, geometry)
    return dx


def _launch(kernel: str, suffix: str, arrays: tuple[Array, ...], x_shape: tuple, geometry: PoolGeometry) -> None:
    """A kernel whose threads count the elements of the result: of a gradient those of x, four of which a thread of the
    2 x 2 kernels writes."""
    _, *size, channels = geometry.out_shape(x_shape)
    halving, grad = geometry == HALVING, kernel.endswith("grad")
    counted = size if not grad else [-(-length // 2) if halving else length for length in x_shape[1:3]]
    name = f"{kernel}{'_2x2' * halving}_{suffix}"
    images = MAX_ELEMENTS // _largest_image(x_shape, geometry)
    for start in range(0, x_shape[0], images):
        some = tuple(array[start : start + images] for array in arrays)
        packs = channels % EACH == 0 and packable(EACH, *some)
        count = len(some[0]) * counted[0] * counted[1] * channels
        each = EACH if packs else 1
        numbers = map(np.int32, (count, packs, *x_shape[1:], *size))
        divisors = map(divisor, (channels // each, counted[1], counted[0]))
        window = () if halving else (*map(np.int32, (*geometry.window, *geometry.stride, *geometry.padding)),)
        strides = () if halving else (*map(divisor, geometry.stride),)
        arguments = *some, *numbers, *divisors, *window, *strides
        program("pool").launch_over(count // each, name, *arguments)


def _largest_image(x_shape: tuple, geometry: PoolGeometry) -> int:
    """Elements of an image or its result, whichever has more, with a row and a column of windows over the edge."""
    _, *size, channels = geometry.out_shape(x_shape)
    return max(size[0] * size[1], (x_shape[1] + 1) * (x_shape[2] + 1)) * channels


def _require_fitting(x_shape: tuple, geometry: PoolGeometry) -> None:
    """Windows without gaps, and images that places of 32 bits reach."""
    require(geometry.dilation == (1, 1) and _largest_image(x_shape, geometry) <= MAX_ELEMENTS)
