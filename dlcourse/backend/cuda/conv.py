"""Convolution on the GPU: patches by one kernel, then a cuBLASLt product; a 1x1 convolution is the product alone.

Patches of some images at a time, so that they take no more than :data:`PATCH_BYTES`. With few channels, and with
groups, the kernels of ``conv_tiles`` do it without patches in memory; these take no arrays of 16 bits, for which the
products run on tensor cores.
"""

import math
from collections.abc import Iterator

import numpy as np

from dlcourse.backend.cuda import conv_tiles
from dlcourse.backend.cuda.blas import gemm
from dlcourse.backend.cuda.linear import product_relu
from dlcourse.backend.cuda.program import override, program, type_suffix
from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import conv as kernels
from dlcourse.backend.kernels import require
from dlcourse.backend.kernels.conv import ConvGeometry, Pair
from dlcourse.backend.kernels.grad_buffers import copy_into, takes
from dlcourse.backend.precision import accumulation_dtype

PATCH_BYTES = 1 << 28
THREADS, ROUNDS = 256, 4
"""Of a block; and what a thread has on its way at once, as ``conv.cu`` has it."""

BLOCKS = 2112
"""Sixteen for each multiprocessor of an H200."""

MAX_COUNT = 2**30
"""Elements of an image, of the patches of a row of the result, and places of a result: they are counted in 32 bits."""


@override(kernels.conv2d, half=True, priority=1)
def conv2d(x: Array, weight: Array, bias: Array | None, geometry: ConvGeometry) -> Array:
    return _forward(x, weight, bias, geometry, relu=False)


@override(kernels.conv2d_relu, half=True, priority=1)
def conv2d_relu(x: Array, weight: Array, bias: Array, geometry: ConvGeometry) -> Array:
    return _forward(x, weight, bias, geometry, relu=True)


def _forward(x: Array, weight: Array, bias: Array | None, geometry: ConvGeometry, relu: bool) -> Array:
    """y, after a ReLU where that is wanted."""
    xp, kernel = array_module(x), weight.shape[1:3]
    size = geometry.out_size(x.shape, kernel)
    out_shape = len(x), *size, len(weight)
    _require_patches(x.shape, out_shape, weight.shape, len(weight), geometry, x, weight, bias)
    y = xp.empty(out_shape, dtype=x.dtype)
    matrix = xp.ascontiguousarray(weight).reshape(len(weight), -1)
    for part in _parts(len(x), size, matrix.shape[1], x.itemsize):
        rows = _patches(x[part], size, kernel, geometry)
        target = y[part].reshape(len(rows), -1)
        if relu:
            product_relu(rows, matrix, bias, target)
        else:
            gemm(rows, matrix.T, target, bias=bias)
    return y


@override(kernels.conv2d_input_grad, half=True, priority=1)
def conv2d_input_grad(dout: Array, weight: Array, x_shape: tuple, geometry: ConvGeometry) -> Array:
    _require_patches(x_shape, dout.shape, weight.shape, x_shape[3], geometry, dout, weight)
    stride, padding, dilation, _ = geometry
    xp, kernel = array_module(dout), weight.shape[1:3]
    edge = tuple(d * (k - 1) - p for d, k, p in zip(dilation, kernel, padding, strict=True))
    if stride == (1, 1) and min(edge) >= 0:
        # The gradient of a step-1 correlation is the correlation of dy with the kernel turned about.
        turned = xp.ascontiguousarray(weight[:, ::-1, ::-1].transpose(3, 1, 2, 0))
        return kernels.conv2d(dout, turned, None, ConvGeometry(stride, edge, dilation))
    dx, size = xp.empty(x_shape, dtype=dout.dtype), dout.shape[1:3]
    dout, matrix = xp.ascontiguousarray(dout), xp.ascontiguousarray(weight).reshape(len(weight), -1)
    for part in _parts(len(dout), size, matrix.shape[1], dout.itemsize):
        rows = gemm(dout[part].reshape(-1, dout.shape[3]), matrix)
        target = dx[part]
        _launch("fold", rows, target, target.shape, size, kernel, geometry)
    return dx


@override(kernels.conv2d_weight_grad, half=True, priority=1)
def conv2d_weight_grad(dout: Array, x: Array, weight_shape: tuple, geometry: ConvGeometry, out: Array | None) -> Array:
    _require_patches(x.shape, dout.shape, weight_shape, weight_shape[0], geometry, dout, x)
    require(takes(out, dout.dtype))
    xp, kernel, size = array_module(dout), weight_shape[1:3], dout.shape[1:3]
    dout, columns = xp.ascontiguousarray(dout), math.prod(weight_shape[1:])
    parts = list(_parts(len(x), size, columns, x.itemsize))
    dtype = dout.dtype if len(parts) == 1 else accumulation_dtype(dout.dtype)
    dweight = out if takes(out, dtype) and out is not None else xp.empty(weight_shape, dtype=dtype)
    matrix = dweight.reshape(weight_shape[0], columns)
    for part in parts:
        rows = _patches(x[part], size, kernel, geometry)
        gemm(dout[part].reshape(len(rows), -1).T, rows, matrix, accumulate=part.start > 0)
    return dweight if dweight is out else copy_into(dweight.astype(dout.dtype, copy=False), out)


def _require_patches(
    x_shape: tuple, out_shape: tuple, weight_shape: tuple, width: int, geometry: ConvGeometry, *arrays: Array | None
) -> None:
    """Decline where patches are not the way, or the kernels of ``conv_tiles`` are."""
    require(not conv_tiles.suits(x_shape, out_shape, weight_shape, width, geometry, *arrays))
    # What the kernels count along the two axes of their grids.
    counts = math.prod(x_shape[1:]), out_shape[2] * math.prod(weight_shape[1:3]) * x_shape[3], math.prod(out_shape[1:3])
    fits = max(counts) < MAX_COUNT and sum(weight_shape[1:3]) <= conv_tiles.MAX_SIDES
    require(geometry.groups == 1 and min(*x_shape, *out_shape) > 0 and fits)


def _patches(x: Array, size: Pair, kernel: Pair, geometry: ConvGeometry) -> Array:
    """(n H' W', kh kw C)."""
    xp = array_module(x)
    x = xp.ascontiguousarray(x)
    if kernel == (1, 1) and geometry[:2] == ((1, 1), (0, 0)):
        return x.reshape(-1, x.shape[3])
    rows = xp.empty((len(x) * math.prod(size), math.prod(kernel) * x.shape[3]), dtype=x.dtype)
    _launch("patches", x, rows, x.shape, size, kernel, geometry)
    return rows


def _launch(
    name: str, source: Array, target: Array, x_shape: tuple, size: Pair, kernel: Pair, geometry: ConvGeometry
) -> None:
    """The patches of ``source`` into ``target``, or those that are ``source`` folded into images again.

    Args:
        x_shape: of the images.
        size: H' and W'.
    """
    images, height, width, channels = x_shape
    together = 16 // source.itemsize
    if channels % together or source.data.ptr % 16 or target.data.ptr % 16:
        together = 1
    # Patches: the rows of a row of y, over all rows. Folding: an image, over all images.
    along, times = size[1] * math.prod(kernel), images * size[0]
    if name == "fold":
        along, times = height * width, images
    along *= channels // together
    block = min(THREADS, 1 << (along - 1).bit_length())
    across = -(-along // block)
    down = min(-(-times * block // (ROUNDS * THREADS)), max(1, BLOCKS // across))
    numbers = images, height, width, channels, *size, *kernel, *(n for pair in geometry[:3] for n in pair), together
    program("conv").launch(
        f"{name}_{type_suffix(source)}",
        (across, down),
        (block, THREADS // block),
        (source, target, *map(np.int32, numbers)),
        shared=8 * sum(kernel),
    )


def _parts(count: int, size: Pair, columns: int, itemsize: int) -> Iterator[slice]:
    """Some images at a time."""
    each = max(1, PATCH_BYTES // max(1, size[0] * size[1] * columns * itemsize))
    return (slice(start, min(start + each, count)) for start in range(0, count, each))
