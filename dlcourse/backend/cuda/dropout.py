"""Dropout on the GPU: random words, mask and product in one kernel, which reads and writes each element once."""

import numpy as np

from dlcourse.backend.cuda.program import blocks, program, type_suffix
from dlcourse.backend.cuda.random import drawn_at
from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import dropout as kernels
from dlcourse.backend.kernels import override
from dlcourse.backend.precision import accumulation_dtype

THREADS = 128


@override(kernels.dropout, "cuda", half=True)
def dropout(x: Array, threshold: int, scale: float, place: kernels.Place) -> tuple[Array, Array]:
    name, xp = type_suffix(x), array_module(x)
    if name is None or not x.size:
        return NotImplemented
    x = xp.ascontiguousarray(x)
    y, kept = xp.empty_like(x), xp.empty(x.shape, dtype=bool)
    settings = np.int64(x.size), np.uint64(threshold), accumulation_dtype(x.dtype).type(scale)
    grid = blocks(-(-x.size // 8), THREADS)
    program("random").launch(f"dropout_{name}", grid, (THREADS,), (x, y, kept, *settings, *drawn_at(*place)))
    return y, kept


@override(kernels.masked, "cuda", half=True)
def masked(x: Array, kept: Array, scale: float) -> Array:
    name, xp = type_suffix(x), array_module(x)
    if name is None or not x.size or kept.shape != x.shape or kept.dtype != bool:
        return NotImplemented
    y, arrays = xp.empty(x.shape, dtype=x.dtype), map(xp.ascontiguousarray, (x, kept))
    settings = np.int64(x.size), accumulation_dtype(x.dtype).type(scale)
    program("random").launch(f"masked_{name}", blocks(x.size, THREADS), (THREADS,), (*arrays, y, *settings))
    return y
