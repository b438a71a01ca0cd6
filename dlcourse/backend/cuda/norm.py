"""Normalization on the GPU: two kernels for batch norm each way, one for layer norm, three for its gradient.

Sums down the columns are made in two stages without atomics, so a result has the same bits run after run; the second
stage is part of the elementwise kernel, whose blocks each add the few parts of their own columns.
"""

import numpy as np

from dlcourse.backend.cuda.block_counters import block_counters
from dlcourse.backend.cuda.program import NULL, grid_for, program, type_suffix
from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import norm as kernels
from dlcourse.backend.kernels import override
from dlcourse.backend.precision import accumulation_dtype

THREADS = 256
"""Of a block that sums down columns: as ``columns.cuh`` has it."""

BLOCKS = 264
"""Two for each multiprocessor of an H200, where there is work for so many."""

WIDE_ROW = 1024
"""Columns beyond which a row of layer norm gets a block instead of a warp."""


@override(kernels.batch_norm, "cuda", half=True)
def batch_norm(x: Array, weight: Array, bias: Array, eps: float) -> tuple[Array, Array, Array]:
    name = type_suffix(x, weight, bias)
    if name is None or not x.size:
        return NotImplemented
    return _batch_norm(name, x, weight, bias, eps, relu=False)


@override(kernels.batch_norm_relu, "cuda", half=True)
def batch_norm_relu(x: Array, weight: Array, bias: Array, eps: float) -> tuple[Array, Array, Array, Array]:
    name = type_suffix(x, weight, bias)
    if name is None or not x.size:
        return NotImplemented
    y, mean, inverse = _batch_norm(name, x, weight, bias, eps, relu=True)
    bits = array_module(x).empty((x.size + 7) // 8, dtype=np.uint8)
    program("norm").launch(f"pack_positive_{name}", grid_for(bits.size), (THREADS,), (y, bits, np.int64(y.size)))
    return y, mean, inverse, bits


@override(kernels.batch_norm_grad, "cuda", half=True)
def batch_norm_grad(
    dout: Array, x: Array, weight: Array, mean: Array, inverse: Array, grad_buffers: tuple
) -> tuple[Array, Array, Array]:
    name = _name(dout, x, weight, mean, inverse)
    if name is None or not dout.size:
        return NotImplemented
    return _batch_norm_grad(name, dout, NULL, x, weight, mean, inverse, grad_buffers)


@override(kernels.batch_norm_relu_grad, "cuda", half=True)
def batch_norm_relu_grad(
    dout: Array, positive: Array, x: Array, weight: Array, mean: Array, inverse: Array, grad_buffers: tuple
) -> tuple[Array, Array, Array]:
    name = _name(dout, x, weight, mean, inverse)
    if name is None or not dout.size:
        return NotImplemented
    return _batch_norm_grad(name, dout, positive, x, weight, mean, inverse, grad_buffers)


@override(kernels.update_running_stats, "cuda")
def update_running_stats(
    running_mean: Array,
    running_var: Array,
    mean: Array,
    inverse: Array,
    eps: float,
    momentum: float,
    correction: float,
) -> None:
    arrays = running_mean, running_var, mean, inverse
    name, columns = type_suffix(*arrays), mean.size
    if name is None or not all(array.flags.c_contiguous for array in arrays):
        return NotImplemented
    settings = np.int32(columns), np.float64(eps), np.float64(momentum), np.float64(correction)
    _launch(f"update_running_stats_{name}", (-(-columns // THREADS), 1), (*arrays, *settings), 0)


def _batch_norm(name: str, x: Array, weight: Array, bias: Array, eps: float, relu: bool) -> tuple[Array, Array, Array]:
    xp = array_module(x)
    x, weight, bias = map(xp.ascontiguousarray, (x, weight, bias))
    rows, columns = x.shape
    width, grid = _columns_plan(rows, columns)
    partial = xp.empty((2, grid[1], columns), dtype=np.float64)
    y, (mean, inverse) = xp.empty_like(x), (xp.empty(columns, dtype=accumulation_dtype(x.dtype)) for _ in range(2))
    sizes = np.int64(rows), np.int32(columns), np.int32(width)
    _launch(f"batch_norm_sums_{name}", grid, (x, partial, *sizes), 2 * THREADS * partial.itemsize)
    arrays = x, weight, bias, partial, y, mean, inverse
    last = np.int32(grid[1]), np.float64(eps), np.int32(relu)
    _launch(f"batch_norm_apply_{name}", grid, (*arrays, *sizes, *last), 64 * 8)
    return y, mean, inverse


def _batch_norm_grad(
    name: str,
    dout: Array,
    bits: Array | np.uint64,
    x: Array,
    weight: Array,
    mean: Array,
    inverse: Array,
    grad_buffers: tuple,
) -> tuple[Array, Array, Array]:
    """The gradient, with dy only where ``bits`` are set if there are bits."""
    xp = array_module(x)
    dout, x, weight, mean, inverse = map(xp.ascontiguousarray, (dout, x, weight, mean, inverse))
    rows, columns = x.shape
    width, grid = _columns_plan(rows, columns)
    partial = xp.empty((2, grid[1], columns), dtype=accumulation_dtype(x.dtype))
    dx, (dweight, dbias) = xp.empty_like(x), _places(weight, grad_buffers)
    sizes = np.int64(rows), np.int32(columns), np.int32(width)
    sums = dout, bits, x, mean, inverse, partial, *sizes
    _launch(f"batch_norm_grad_sums_{name}", grid, sums, 2 * THREADS * partial.itemsize)
    arrays = dout, bits, x, weight, mean, inverse, partial, dx, dweight, dbias
    _launch(f"batch_norm_grad_apply_{name}", grid, (*arrays, *sizes, np.int32(grid[1])), 64 * 8)
    return dx, dweight, dbias


@override(kernels.layer_norm, "cuda", half=True)
def layer_norm(x: Array, weight: Array, bias: Array, eps: float) -> tuple[Array, Array, Array]:
    name = type_suffix(x, weight, bias)
    if name is None or not x.size:
        return NotImplemented
    xp = array_module(x)
    x, weight, bias = map(xp.ascontiguousarray, (x, weight, bias))
    rows, columns = x.shape
    y = xp.empty_like(x)
    mean, inverse = (xp.empty((rows, 1), dtype=accumulation_dtype(x.dtype)) for _ in range(2))
    grid, block, shared = _rows_plan(rows, columns, mean.itemsize)
    arguments = x, weight, bias, y, mean, inverse, np.int64(rows), np.int32(columns), mean.dtype.type(eps)
    program("norm").launch(f"layer_norm_{name}", grid, block, arguments, shared=shared)
    return y, mean, inverse


@override(kernels.layer_norm_grad, "cuda", half=True)
def layer_norm_grad(
    dout: Array, x: Array, weight: Array, mean: Array, inverse: Array, grad_buffers: tuple
) -> tuple[Array, Array, Array]:
    name = _name(dout, x, weight, mean, inverse)
    if name is None or not dout.size:
        return NotImplemented
    xp = array_module(x)
    dout, x, weight, mean, inverse = map(xp.ascontiguousarray, (dout, x, weight, mean, inverse))
    rows, columns = x.shape
    dx, (dweight, dbias) = xp.empty_like(x), _places(weight, grad_buffers)
    grid, block, shared = _rows_plan(rows, columns, mean.itemsize)
    arguments = dout, x, weight, mean, inverse, dx, np.int64(rows), np.int32(columns)
    program("norm").launch(f"layer_norm_grad_input_{name}", grid, block, arguments, shared=shared)
    width, columns_grid = _columns_plan(rows, columns)
    partial = xp.empty((2, columns_grid[1], columns), dtype=accumulation_dtype(x.dtype))
    sizes = np.int64(rows), np.int32(columns), np.int32(width)
    sums = dout, x, mean, inverse, partial, block_counters(xp), dweight, dbias, *sizes
    _launch(f"layer_norm_grad_sums_{name}", columns_grid, sums, 2 * THREADS * partial.itemsize)
    return dx, dweight, dbias


def _places(weight: Array, grad_buffers: tuple) -> tuple[Array, ...]:
    """Where the gradients of weight and bias go."""
    return tuple(array_module(weight).empty_like(weight) if place is None else place for place in grad_buffers)


def _name(dout: Array, x: Array, weight: Array, mean: Array, inverse: Array) -> str | None:
    """:func:`type_suffix`, where the statistics have the type that such numbers are added up in."""
    alike = mean.dtype == inverse.dtype == accumulation_dtype(x.dtype)
    return type_suffix(dout, x, weight) if alike else None


def _columns_plan(rows: int, columns: int) -> tuple[int, tuple[int, int]]:
    """Columns a block, and the grid: blocks across the columns, and parts that the rows fall into."""
    width = min(32, 1 << (columns - 1).bit_length())
    across = -(-columns // width)
    each = THREADS // width  # rows that a block takes at a time; at least four times, or the second stage costs more
    return width, (across, max(1, min(BLOCKS // across, rows // (4 * each))))


def _rows_plan(rows: int, columns: int, itemsize: int) -> tuple[tuple[int], tuple[int, int], int]:
    """Grid, block and shared bytes of layer norm."""
    if columns > WIDE_ROW:
        return (rows,), (THREADS, 1), THREADS // 32 * itemsize
    return (-(-rows // 4),), (32, 4), 0


def _launch(name: str, grid: tuple[int, int], arguments: tuple, shared: int) -> None:
    program("norm").launch(name, grid, (THREADS, 1), arguments, shared=shared)
