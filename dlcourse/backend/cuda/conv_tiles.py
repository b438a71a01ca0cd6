"""Convolution on the GPU by kernels that gather their patches themselves: for few channels, and for groups.

Patches in memory cost kh kw times the image, twice; with few output channels there is too little arithmetic to pay
for that. Each function gives None where it is not the better way: then patches and cuBLASLt's product are. Where
exactly the two meet is an estimate until it is measured. The weight's gradient is summed in parts, added in order.
"""

import math

import numpy as np

from dlcourse.backend.cuda.program import NULL, TYPES, blocks, program, type_suffix
from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels.conv import out_size

Pair = tuple[int, int]

THREADS, DEPTH, TALL = 256, 16, 128
"""Of a tile: threads, terms at a time, rows; as ``conv_tiles.cu`` has them."""

BLOCKS = 264
"""Two for each multiprocessor of an H200: the weight's gradient is cut until there are about so many."""

NARROW = 32
"""Channels of the result up to which patches in memory cost more than they save."""

MIN_ROWS = 256
"""Of a part of the weight's gradient."""


def forward(
    x: Array,
    weight: Array,
    bias: Array | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    relu: bool,
) -> Array | None:
    out_shape = len(x), *out_size(x.shape, weight.shape[1:3], stride, padding, dilation), len(weight)
    name = type_suffix(x, weight) if bias is None else type_suffix(x, weight, bias)
    if not _fits(name, x.shape, out_shape, len(weight), groups, weight.shape):
        return None
    xp = array_module(x)
    x, weight = xp.ascontiguousarray(x), xp.ascontiguousarray(weight)
    y = xp.empty(out_shape, dtype=x.dtype)
    shift = NULL if bias is None else xp.ascontiguousarray(bias)
    settings = weight.shape, stride, padding, dilation, groups
    places, width, last = y.size // len(weight), len(weight), (np.int32(relu),)
    _launch("conv_forward", name, (x, weight, shift, y), x.shape, out_shape, settings, places, width, rest=last)
    return y


def input_grad(
    dout: Array, weight: Array, x_shape: tuple, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Array | None:
    name = type_suffix(dout, weight)
    if not _fits(name, x_shape, dout.shape, x_shape[3], groups, weight.shape):
        return None
    xp = array_module(dout)
    dout, weight = xp.ascontiguousarray(dout), xp.ascontiguousarray(weight)
    dx = xp.empty(x_shape, dtype=dout.dtype)
    settings = weight.shape, stride, padding, dilation, groups
    places = math.prod(x_shape[:3])
    _launch("conv_input_grad", name, (dout, weight, dx), x_shape, dout.shape, settings, places, x_shape[3])
    return dx


def weight_grad(
    dout: Array, x: Array, weight_shape: tuple, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Array | None:
    name = type_suffix(dout, x)
    if not _fits(name, x.shape, dout.shape, weight_shape[0], groups, weight_shape):
        return None
    xp = array_module(dout)
    dout, x = xp.ascontiguousarray(dout), xp.ascontiguousarray(x)
    outputs, depth = weight_shape[0], math.prod(weight_shape[1:])
    dweight = xp.empty(weight_shape, dtype=dout.dtype)
    rows = dout.size // outputs
    tiles = -(-depth // TALL) * -(-outputs // groups // 64) * groups
    parts = max(1, min(BLOCKS // tiles, rows // MIN_ROWS))
    each = -(-rows // parts)
    parts = -(-rows // each)
    partial = dweight if parts == 1 else xp.empty((parts, *weight_shape), dtype=dout.dtype)
    settings = weight_shape, stride, padding, dilation, groups
    cut = np.int32(parts), np.int32(each)
    _launch("conv_weight_grad", name, (dout, x, partial), x.shape, dout.shape, settings, depth, outputs, parts, cut)
    if parts > 1:
        arguments = partial, dweight, np.int64(dweight.size), np.int32(parts)
        program("conv_tiles").launch(f"add_parts_{name}", blocks(dweight.size), (THREADS,), arguments)
    return dweight


def _fits(name: str | None, x_shape: tuple, out_shape: tuple, width: int, groups: int, weight_shape: tuple) -> bool:
    """Whether the kernels take it and are the better way: the product's width is small, or in groups."""
    places = math.prod(x_shape[:3]), math.prod(out_shape[:3])
    if name not in TYPES.values() or min(*x_shape, *out_shape) < 1 or max(places) >= 2**31 - TALL:
        return False
    return groups > 1 or (width <= NARROW and tuple(weight_shape[1:3]) != (1, 1))


def _launch(
    kernel: str,
    name: str,
    arrays: tuple,
    x_shape: tuple,
    out_shape: tuple,
    settings: tuple,
    height: int,
    width: int,
    parts: int = 1,
    rest: tuple = (),
) -> None:
    """Blocks for the tiles of a product (height, width), the width over all groups."""
    weight_shape, *pairs, groups = settings
    across = width // groups
    tile = 64 if across > 32 else 32 if across > 16 else 16
    numbers = *x_shape, *out_shape[1:], *weight_shape[1:3], *(number for pair in pairs for number in pair), groups
    grid = -(-height // TALL), -(-across // tile), groups * parts
    shared = DEPTH * (TALL + 4 + tile + 4) * arrays[0].itemsize
    arguments = *arrays, *map(np.int32, numbers), *rest
    # Each of the three products multiplies every weight once at every place of the result; padding counts too.
    flops = 2 * math.prod(out_shape[:3]) * math.prod(weight_shape)
    program("conv_tiles").launch(f"{kernel}_{tile}_{name}", grid, (THREADS,), arguments, shared=shared, flops=flops)
