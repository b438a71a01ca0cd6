"""Dropout on the GPU: random words, mask and product in one kernel, which reads and writes each element once."""

import numpy as np

from dlcourse.backend.cuda.program import grid_for, grid_for_packs, program, type_suffix
from dlcourse.backend.cuda.random import drawn_at
from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import dropout as kernels
from dlcourse.backend.kernels import override
from dlcourse.backend.precision import accumulation_dtype

THREADS = 256


@override(kernels.dropout, "cuda", half=True)
def dropout(x: Array, threshold: int, scale: float, key: kernels.Key) -> tuple[Array, Array]:
    name, xp = type_suffix(x), array_module(x)
    if name is None or not x.size:
        return NotImplemented
    x = xp.ascontiguousarray(x)
    y, mask = xp.empty_like(x), xp.empty(x.shape, dtype=bool)
    settings = np.int64(x.size), np.uint64(threshold), accumulation_dtype(x.dtype).type(scale)
    grid = grid_for(-(-x.size // 8), THREADS)
    program("random").launch(f"dropout_{name}", grid, (THREADS,), (x, y, mask, *settings, *drawn_at(*key)))
    return y, mask


@override(kernels.masked, "cuda", half=True)
def masked(x: Array, mask: Array, scale: float) -> Array:
    name, xp = type_suffix(x), array_module(x)
    if name is None or not x.size or mask.shape != x.shape or mask.dtype != bool:
        return NotImplemented
    y, arrays = xp.empty(x.shape, dtype=x.dtype), map(xp.ascontiguousarray, (x, mask))
    settings = np.int64(x.size), accumulation_dtype(x.dtype).type(scale)
    program("random").launch(f"masked_{name}", grid_for_packs(x, THREADS), (THREADS,), (*arrays, y, *settings))
    return y
