"""Convolution by NumPy: patches of a few images at a time, in a buffer that stays in the cache, times the weights.

A tile's images go into a padded buffer, the patches that the kernel sees are one strided copy of it, and the product
with the weights is one GEMM whose input is still in the cache: tall thin products ran at 165 GF/s so, at 100 on whole
arrays. Each thread takes tiles in turn, with OpenBLAS at one thread. Groups are the
reference's.
"""

import math

import numpy as np
from numpy.lib.stride_tricks import as_strided

from dlcourse.backend.cpu import threads
from dlcourse.backend.cpu.memory import scratch
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import conv as kernels
from dlcourse.backend.kernels import override
from dlcourse.backend.kernels.conv import ConvGeometry, Pair
from dlcourse.backend.kernels.grad_buffers import copy_into

TILE_BYTES = 3 << 18
"""Patches of one tile; with their product they fill most of a second-level cache of 1 MB."""


@override(kernels.conv2d, "cpu")
def conv2d(x: Array, weight: Array, bias: Array | None, geometry: ConvGeometry) -> Array:
    if geometry.groups > 1:
        return NotImplemented
    size = geometry.out_size(x.shape, weight.shape[1:3])
    y = np.empty((len(x), *size, len(weight)), dtype=x.dtype)
    matrix = weight.reshape(len(weight), -1).T  # (kh kw C, O)

    def tile(part: slice) -> None:
        rows = patches(x[part], size, weight.shape[1:3], geometry)
        target = y[part].reshape(len(rows), -1)
        np.matmul(rows, matrix, out=target)
        if bias is not None:
            target += bias

    threads.run(tile, _tiles(len(x), size, matrix.shape[0], x.itemsize), blas=True)
    return y


@override(kernels.conv2d_input_grad, "cpu")
def conv2d_input_grad(dout: Array, weight: Array, x_shape: tuple, geometry: ConvGeometry) -> Array:
    stride, padding, dilation, groups = geometry
    if groups > 1:
        return NotImplemented
    kernel = weight.shape[1:3]
    edge = tuple(d * (k - 1) - p for d, k, p in zip(dilation, kernel, padding, strict=True))
    if stride == (1, 1) and min(edge) >= 0:
        # The gradient of a step-1 correlation is the correlation of dy with the kernel turned about.
        turned = np.ascontiguousarray(weight[:, ::-1, ::-1].transpose(3, 1, 2, 0))
        return conv2d(dout, turned, None, ConvGeometry(stride, edge, dilation))
    matrix = weight.reshape(len(weight), -1)  # (O, kh kw C)
    dx = np.empty(x_shape, dtype=dout.dtype)
    height, width = dout.shape[1:3]

    def tile(part: slice) -> None:
        n, (h, w, channels) = part.stop - part.start, x_shape[1:]
        reach = [
            max(length + 2 * p, (size - 1) * s + d * (k - 1) + 1)
            for length, p, size, s, d, k in zip((h, w), padding, (height, width), stride, dilation, kernel, strict=True)
        ]
        padded = scratch("conv-padded", (n, *reach, channels), dout.dtype)
        padded.fill(0)
        rows = dout[part].reshape(-1, dout.shape[3])
        shares = scratch("conv-patches", (len(rows), matrix.shape[1]), dout.dtype)
        np.matmul(rows, matrix, out=shares)
        shares = shares.reshape(n, height, width, *kernel, channels)
        windows = _windows(padded, (height, width), kernel, stride, dilation)
        for i in range(kernel[0]):
            for j in range(kernel[1]):
                windows[:, :, :, i, j] += shares[:, :, :, i, j]
        dx[part] = padded[:, padding[0] : padding[0] + h, padding[1] : padding[1] + w]

    threads.run(tile, _tiles(len(dout), (height, width), matrix.shape[1], dout.itemsize), blas=True)
    return dx


@override(kernels.conv2d_weight_grad, "cpu")
def conv2d_weight_grad(dout: Array, x: Array, weight_shape: tuple, geometry: ConvGeometry, out: Array | None) -> Array:
    if geometry.groups > 1:
        return NotImplemented
    outputs, columns = weight_shape[0], math.prod(weight_shape[1:])
    tiles = _tiles(len(x), dout.shape[1:3], columns, x.itemsize)
    # One sum for each share of the tiles, so that the result does not depend on which thread was faster.
    shares = [tiles[start :: threads.budget()] for start in range(threads.budget())]
    sums = np.zeros((len(shares), outputs, columns), dtype=dout.dtype)

    def add(index: int) -> None:
        product = scratch("conv-product", (outputs, columns), dout.dtype)
        for part in shares[index]:
            rows = patches(x[part], dout.shape[1:3], weight_shape[1:3], geometry)
            np.matmul(dout[part].reshape(len(rows), outputs).T, rows, out=product)
            sums[index] += product

    threads.run(add, range(len(shares)), blas=True)
    for other in sums[1:]:
        sums[0] += other
    return copy_into(sums[0].reshape(weight_shape), out)


def patches(x: Array, size: Pair, kernel: Pair, geometry: ConvGeometry) -> Array:
    """What the kernel sees at each place, (n H' W', kh kw C), in this thread's buffer."""
    (n, h, w, channels), (stride, padding, dilation, _) = x.shape, geometry
    columns = kernel[0] * kernel[1] * channels
    if padding != (0, 0):
        padded = scratch("conv-padded", (n, h + 2 * padding[0], w + 2 * padding[1], channels), x.dtype)
        top, left = padding
        padded[:, :top] = 0
        padded[:, top + h :] = 0
        padded[:, top : top + h, :left] = 0
        padded[:, top : top + h, left + w :] = 0
        padded[:, top : top + h, left : left + w] = x
    else:
        padded = x
    if kernel == (1, 1) and stride == (1, 1):
        return padded.reshape(-1, channels)
    rows = scratch("conv-patches", (n, *size, *kernel, channels), x.dtype)
    rows[...] = _windows(padded, size, kernel, stride, dilation)
    return rows.reshape(-1, columns)


def _windows(padded: Array, size: Pair, kernel: Pair, stride: Pair, dilation: Pair) -> Array:
    """The view (n, H', W', kh, kw, C) of all windows; they overlap."""
    of_n, of_h, of_w, of_c = padded.strides
    shape = (len(padded), *size, *kernel, padded.shape[3])
    strides = (of_n, of_h * stride[0], of_w * stride[1], of_h * dilation[0], of_w * dilation[1], of_c)
    return as_strided(padded, shape, strides)


def _tiles(count: int, size: Pair, columns: int, itemsize: int) -> list[slice]:
    """The images cut into tiles whose patches fill about :data:`TILE_BYTES`, at least one image each."""
    each = max(1, size[0] * size[1] * columns * itemsize)
    return threads.slices(count, max(1, TILE_BYTES // each))
