"""Convolution on the GPU by kernels that gather their patches themselves: for few channels, and for groups.

Patches in memory cost kh kw times the image, twice; with few output channels there is too little arithmetic to pay
for that. Where it is not the better way, patches and cuBLASLt's product are. Where exactly the two meet is an estimate
until it is measured. The weight's gradient is summed in parts, added in order.
"""

import functools
import math

import numpy as np

from dlcourse.backend.cuda.block_counters import block_counters
from dlcourse.backend.cuda.program import TYPES, contiguous, override, program, type_suffix
from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import conv as kernels
from dlcourse.backend.kernels import require
from dlcourse.backend.kernels.conv import ConvGeometry
from dlcourse.backend.kernels.grad_buffers import takes

THREADS, DEPTH, TALL = 256, 16, 128
"""Of a tile: threads, terms at a time, rows; as ``conv_tiles.cuh`` has them."""

BLOCKS = 264
"""Two for each multiprocessor of an H200: the weight's gradient is cut until there are about so many."""

NARROW = 32
"""Channels of the result up to which patches in memory cost more than they save."""

MAX_SIDES = 1024
"""Rows and columns of a kernel, of which numbers lie in shared memory."""

MIN_ROWS = 256
"""Of a part of the weight's gradient."""


@override(kernels.conv2d)
def conv2d(x: Array, weight: Array, bias: Array | None, geometry: ConvGeometry) -> Array:
    return _forward(x, weight, bias, geometry, relu=False)


@override(kernels.conv2d_relu)
def conv2d_relu(x: Array, weight: Array, bias: Array, geometry: ConvGeometry) -> Array:
    return _forward(x, weight, bias, geometry, relu=True)


def _forward(x: Array, weight: Array, bias: Array | None, geometry: ConvGeometry, relu: bool) -> Array:
    out_shape = len(x), *geometry.out_size(x.shape, weight.shape[1:3]), len(weight)
    require(suits(x.shape, out_shape, weight.shape, len(weight), geometry, x, weight, bias))
    xp = array_module(x)
    x, weight, shift = contiguous(x, weight, bias)
    y = xp.empty(out_shape, dtype=x.dtype)
    positions, width, last = y.size // len(weight), len(weight), (np.int32(relu),)
    shapes = x.shape, weight.shape, out_shape
    _launch("conv_forward", (x, weight, shift, y), shapes, geometry, positions, width, x, rest=last)
    return y


@override(kernels.conv2d_input_grad)
def conv2d_input_grad(dout: Array, weight: Array, x_shape: tuple, geometry: ConvGeometry) -> Array:
    require(suits(x_shape, dout.shape, weight.shape, x_shape[3], geometry, dout, weight))
    xp = array_module(dout)
    dout, weight = contiguous(dout, weight)
    dx = xp.empty(x_shape, dtype=dout.dtype)
    shapes = x_shape, weight.shape, dout.shape
    _launch("conv_input_grad", (dout, weight, dx), shapes, geometry, math.prod(x_shape[:3]), x_shape[3], dout)
    return dx


@override(kernels.conv2d_weight_grad)
def conv2d_weight_grad(dout: Array, x: Array, weight_shape: tuple, geometry: ConvGeometry, out: Array | None) -> Array:
    require(suits(x.shape, dout.shape, weight_shape, weight_shape[0], geometry, dout, x) and takes(out, dout.dtype))
    xp = array_module(dout)
    dout, x = contiguous(dout, x)
    outputs, depth = weight_shape[0], math.prod(weight_shape[1:])
    dweight = xp.empty(weight_shape, dtype=dout.dtype) if out is None else out
    rows = dout.size // outputs
    tiles = -(-depth // TALL) * -(-outputs // geometry.groups // 64) * geometry.groups
    parts = max(1, min(BLOCKS // tiles, rows // MIN_ROWS))
    each = -(-rows // parts)
    parts = -(-rows // each)
    partial = None if parts == 1 else xp.empty((parts, *weight_shape), dtype=dout.dtype)
    arrived = None if parts == 1 else block_counters(xp)
    shapes, cut = (x.shape, weight_shape, dout.shape), (np.int32(parts), np.int32(each))
    arrays = dout, x, partial, arrived, dweight
    _launch("conv_weight_grad", arrays, shapes, geometry, depth, outputs, x, parts, cut)
    return dweight


def suits(
    x_shape: tuple, out_shape: tuple, weight_shape: tuple, width: int, geometry: ConvGeometry, *arrays: Array | None
) -> bool:
    """Whether the kernels take it and are the better way: the product's width is small, or in groups."""
    if type_suffix(*arrays) not in TYPES.values() or min(*x_shape, *out_shape) < 1:
        return False
    better = geometry.groups > 1 or (width <= NARROW and tuple(weight_shape[1:3]) != (1, 1))
    return better and _counts_in_integers(x_shape, out_shape, weight_shape, geometry)


@functools.lru_cache(maxsize=512)
def _counts_in_integers(x_shape: tuple, out_shape: tuple, weight_shape: tuple, geometry: ConvGeometry) -> bool:
    """Whether places, coordinates in padding too, and offsets within an image or the weight are less than 2^31."""
    (stride, padding, dilation, _), window = geometry, weight_shape[1:3]
    reach = [d * k for d, k in zip(dilation, window, strict=True)]
    offsets = [(reach[0] * shape[2] + reach[1]) * shape[3] for shape in (x_shape, out_shape)]
    places = [math.prod(shape[:3]) + TALL for shape in (x_shape, out_shape)]
    sides = [
        4 * (length + p + far + s * (size + 2))
        for length, p, far, s, size in zip(x_shape[1:3], padding, reach, stride, out_shape[1:3], strict=True)
    ]
    return sum(window) <= MAX_SIDES and max(*offsets, *places, *sides, math.prod(weight_shape)) < 2**31


def _launch(
    kernel: str, arrays: tuple, shapes: tuple, geometry: ConvGeometry, height: int, width: int, gathered: Array,
    parts: int = 1, rest: tuple = (),
) -> None:  # fmt: skip
    """Blocks for the tiles of a product (height, width), the width over all groups.

    Args:
        shapes: of x, of the weight and of the output.
        gathered: x or dy, of which the kernels gather places.
    """
    (x_shape, weight_shape, out_shape), (*pairs, groups) = shapes, geometry
    across = width // groups
    tile = 64 if across > 32 else 32 if across > 16 else 16
    numbers = *x_shape, *out_shape[1:], *weight_shape[1:3], *(number for pair in pairs for number in pair), groups
    grid = -(-height // TALL), -(-across // tile), groups * parts
    # The two operands of a round, and of each row and column of the kernel two numbers.
    shared = DEPTH * (TALL + 4 + tile + 4) * arrays[0].itemsize + 8 * sum(weight_shape[1:3])
    arguments = *arrays, *map(np.int32, numbers), *rest
    # Each of the three products multiplies every weight once at every place of the result; padding counts too.
    flops = 2 * math.prod(out_shape[:3]) * math.prod(weight_shape)
    name = type_suffix(arrays[0])
    fours = name == "float" and gathered.shape[3] // groups % 4 == 0 and gathered.data.ptr % 16 == 0
    variant = f"{tile}_fours" if fours else f"{tile}"
    program(f"conv_tiles_{tile}_{name}").launch(
        f"{kernel}_{variant}_{name}", grid, (THREADS,), arguments, shared=shared, flops=flops
    )
