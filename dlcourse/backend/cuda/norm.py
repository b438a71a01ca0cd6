"""Normalization on the GPU: two kernels for batch norm each way, one for layer norm, two for its gradient by wide rows.

Sums down the columns are made in two stages without atomics, so a result has the same bits run after run; the second
stage is the last block's of the kernel that makes the first.
"""

from typing import Any

import numpy as np

from dlcourse.backend.cuda.block_counters import block_counters
from dlcourse.backend.cuda.program import BLOCKS, THREADS, contiguous, override, program, type_suffix
from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import norm as kernels
from dlcourse.backend.kernels import require
from dlcourse.backend.kernels.norm import BatchNormSaved, RunningStats
from dlcourse.backend.precision import accumulation_dtype

WARPS = 8
"""Of a block that has columns: as ``columns.cuh`` has it."""

PARTS = 264
"""Of a sum down the columns: two blocks for each multiprocessor of an H200, where there is work for so many."""

GROUP = 16
"""Blocks of layer norm's gradient whose sums are added first: as ``norm.cu`` has it."""

WIDE_ROW = 1024
"""Columns beyond which a row of layer norm gets a block instead of a warp."""


@override(kernels.batch_norm, half=True)
def batch_norm(
    x: Array, weight: Array, bias: Array, residual: Array | None, eps: float, running: RunningStats | None, relu: bool
) -> tuple[Array, Array, Array, Array | None]:
    require(residual is None or residual.shape == x.shape)
    name, xp = type_suffix(x, weight, bias, residual), array_module(x)
    x, weight, bias, added = contiguous(x, weight, bias, residual)
    rows, columns = x.shape
    statistic = accumulation_dtype(x.dtype)
    y, (mean, inverse) = xp.empty_like(x), (xp.empty(columns, dtype=statistic) for _ in range(2))
    wide = _wide(x)
    width, grid = _columns_plan(rows, columns, wide)
    partial, sizes = xp.empty((2, grid[1], columns), dtype=np.float64), (np.int64(rows), np.int32(columns))
    to_mean, to_var, momentum, correction = None, None, 0.0, 0.0
    if running is not None and all(a.dtype == statistic and a.flags.c_contiguous for a in running[:2]):
        (to_mean, to_var, momentum, correction), running = running, None
    arrays = x, partial, block_counters(xp), mean, inverse, to_mean, to_var
    numbers = *sizes, np.int32(width), *map(np.float64, (eps, momentum, correction)), np.int32(wide)
    _launch(f"batch_norm_statistics_{name}", grid, (*arrays, *numbers), WARPS * 2 * width * partial.itemsize)
    if running is not None:
        running.update(mean, inverse, eps)
    wide = _wide(x, added)
    width, grid = _columns_plan(rows, columns, wide, BLOCKS)
    bits = xp.empty((x.size + 7) // 8, dtype=np.uint8) if relu and residual is None else None
    whole_bytes = columns % 8 == 0
    numbers = *sizes, np.int32(width), np.int32(relu), np.int32(wide)
    result = y, bits if whole_bytes else None
    _launch(f"batch_norm_apply_{name}", grid, (x, weight, bias, mean, inverse, added, *result, *numbers), 0)
    if bits is not None and not whole_bytes:
        program("norm").launch_over(bits.size, f"pack_positive_{name}", y, bits, np.int64(x.size))
    return y, mean, inverse, bits


@override(kernels.batch_norm_grad, half=True)
def batch_norm_grad(
    dout: Array, more: Array | None, saved: BatchNormSaved, grad_buffers: tuple
) -> tuple[Array, Array, Array, Array | None]:
    x, weight, mean, inverse, bits, y = saved
    require(y is None or y.shape == x.shape)
    require(more is None or (y is not None and more.shape == x.shape))
    name, xp = _name(dout, x, weight, mean, inverse, more, y), array_module(x)
    dout, x, weight, mean, inverse, after, open_ = contiguous(dout, x, weight, mean, inverse, more, y)
    wide = _wide(dout, x, after, open_)
    dz: Any = None if y is None else xp.empty_like(x)
    rows, columns = x.shape
    width, grid = _columns_plan(rows, columns, wide)
    dx, (dweight, dbias) = xp.empty_like(x), _places(weight, grad_buffers)
    statistic = accumulation_dtype(x.dtype)
    partial, means = xp.empty((2, grid[1], columns), dtype=statistic), xp.empty((2, columns), dtype=statistic)
    sizes = np.int64(rows), np.int32(columns)
    arrays = dout, after, bits, open_, x, mean, inverse, dz, partial, block_counters(xp), means, dweight, dbias
    numbers = *sizes, np.int32(width), np.int32(wide)
    _launch(f"batch_norm_grad_sums_{name}", grid, (*arrays, *numbers), WARPS * 2 * width * partial.itemsize)
    width, grid = _columns_plan(rows, columns, wide, BLOCKS)
    numbers = *sizes, np.int32(width), np.int32(wide)
    arrived, bits = (dout, bits) if y is None else (dz, None)
    _launch(f"batch_norm_grad_apply_{name}", grid, (arrived, bits, x, weight, mean, inverse, means, dx, *numbers), 0)
    return dx, dweight, dbias, dz


@override(kernels.layer_norm, half=True)
def layer_norm(x: Array, weight: Array, bias: Array, eps: float) -> tuple[Array, Array, Array]:
    name, xp = type_suffix(x, weight, bias), array_module(x)
    x, weight, bias = contiguous(x, weight, bias)
    rows, columns = x.shape
    y = xp.empty_like(x)
    mean, inverse = (xp.empty((rows, 1), dtype=accumulation_dtype(x.dtype)) for _ in range(2))
    grid, block, shared = _rows_plan(rows, columns, mean.itemsize)
    sizes = np.int64(rows), np.int32(columns), mean.dtype.type(eps), np.int32(_held(x, y))
    arguments = x, weight, bias, y, mean, inverse, *sizes
    program("norm").launch(f"layer_norm_{name}", grid, block, arguments, shared=shared)
    return y, mean, inverse


@override(kernels.layer_norm_grad, half=True)
def layer_norm_grad(
    dout: Array, more: Array | None, x: Array, weight: Array, mean: Array, inverse: Array, grad_buffers: tuple
) -> tuple[Array, Array, Array]:
    require(more is None or more.shape == x.shape)
    name, xp = _name(dout, x, weight, mean, inverse, more), array_module(x)
    dout, x, weight, mean, inverse, added = contiguous(dout, x, weight, mean, inverse, more)
    rows, columns = x.shape
    results = xp.empty_like(x), *_places(weight, grad_buffers)
    if held := _held(dout, x, results[0], added):
        _layer_norm_grad_held(name, (dout, added, x, weight, mean, inverse), results, held)
        return results
    dx, dweight, dbias = results
    grid, block, shared = _rows_plan(rows, columns, mean.itemsize)
    arguments = dout, added, x, weight, mean, inverse, dx, np.int64(rows), np.int32(columns)
    program("norm").launch(f"layer_norm_grad_input_{name}", grid, block, arguments, shared=shared)
    width, columns_grid = _columns_plan(rows, columns, wide=False)
    partial = xp.empty((2, columns_grid[1], columns), dtype=accumulation_dtype(x.dtype))
    sizes = np.int64(rows), np.int32(columns), np.int32(width)
    sums = dout, x, mean, inverse, partial, block_counters(xp), dweight, dbias, *sizes
    _launch(f"layer_norm_grad_sums_{name}", columns_grid, sums, WARPS * 2 * width * partial.itemsize)
    return dx, dweight, dbias


def _layer_norm_grad_held(name: str, known: tuple, results: tuple, held: int) -> None:
    """The gradients in one pass, of rows that a warp holds."""
    dx, dweight, dbias = results
    (rows, columns), xp = dx.shape, array_module(dx)
    blocks = max(1, min(PARTS, rows // WARPS))
    partial = xp.empty((blocks, 2, columns), dtype=accumulation_dtype(dx.dtype))
    grouped = xp.empty((-(-blocks // GROUP), 2, columns), dtype=np.float64)
    sums, sizes = (partial, grouped, block_counters(xp), dweight, dbias), (np.int64(rows), np.int32(columns))
    arguments, shared = (*known, dx, *sums, *sizes, np.int32(held)), 2 * columns * partial.itemsize
    program("norm").launch(f"layer_norm_grad_{name}", (blocks,), (32, WARPS), arguments, shared=shared)


def _places(weight: Array, grad_buffers: tuple) -> tuple[Array, ...]:
    """Where the gradients of weight and bias go."""
    return tuple(array_module(weight).empty_like(weight) if place is None else place for place in grad_buffers)


def _name(dout: Array, x: Array, weight: Array, mean: Array, inverse: Array, *others: Array | None) -> str:
    """:func:`type_suffix`, where the statistics have the type that such numbers are added up in."""
    require(mean.dtype == inverse.dtype == accumulation_dtype(x.dtype))
    return type_suffix(dout, x, weight, *others)


def _wide(first: Array, *others: Array | None) -> bool:
    """Whether four neighbors of a row can be read at once in each of these contiguous matrices."""
    together = min(16, 4 * first.itemsize)
    arrays = first, *(array for array in others if array is not None)
    return first.shape[1] % 4 == 0 and not any(array.data.ptr % together for array in arrays)


def _columns_plan(rows: int, columns: int, wide: bool, blocks: int = PARTS) -> tuple[int, tuple[int, int]]:
    """Columns a block, and the grid: blocks across the columns, and parts that the rows fall into.

    Args:
        wide: a thread has four columns.
        blocks: how many there are at most, where each has some rows.
    """
    width = min(32, 1 << (columns - 1).bit_length())
    across = -(-columns // width)
    each = THREADS // width * (4 if wide else 1)  # rows that a block takes at a time, four times or more
    return width, (across, max(1, min(blocks // across, rows // (4 * each))))


def _held(first: Array, *others: Array | None) -> int:
    """The packs that a lane has where a warp holds a row of these matrices in registers, 0 where it cannot."""
    columns = first.shape[1]
    return 0 if columns > 512 or not _wide(first, *others) else 1 if columns <= 128 else 4


def _rows_plan(rows: int, columns: int, itemsize: int) -> tuple[tuple[int], tuple[int, int], int]:
    """Grid, block and shared bytes of layer norm."""
    if columns > WIDE_ROW:
        return (rows,), (THREADS, 1), THREADS // 32 * itemsize
    return (-(-rows // 4),), (32, 4), 0


def _launch(name: str, grid: tuple[int, int], arguments: tuple, shared: int) -> None:
    program("norm").launch(name, grid, (THREADS, 1), arguments, shared=shared)
