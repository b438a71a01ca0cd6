"""Dropout on the GPU: random words, mask and product in one kernel, which reads and writes each element once."""

import numpy as np

from dlcourse.backend.cuda.program import contiguous, override, packs_of, program, type_suffix
from dlcourse.backend.cuda.random import drawn_at
from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import dropout as kernels
from dlcourse.backend.kernels import require
from dlcourse.backend.precision import accumulation_dtype


@override(kernels.dropout, half=True)
def dropout(x: Array, threshold: int, scale: float, key: kernels.Key) -> tuple[Array, Array]:
    suffix, xp = type_suffix(x), array_module(x)
    x = xp.ascontiguousarray(x)
    y, mask = xp.empty_like(x), xp.empty(x.shape, dtype=bool)
    settings = np.int64(x.size), np.uint64(threshold), accumulation_dtype(x.dtype).type(scale)
    program("random").launch_over(-(-x.size // 8), f"dropout_{suffix}", x, y, mask, *settings, *drawn_at(*key))
    return y, mask


@override(kernels.masked, half=True)
def masked(x: Array, mask: Array, scale: float) -> Array:
    suffix, xp = type_suffix(x), array_module(x)
    require(mask.shape == x.shape and mask.dtype == bool)
    y, arrays = xp.empty(x.shape, dtype=x.dtype), contiguous(x, mask)
    settings = np.int64(x.size), accumulation_dtype(x.dtype).type(scale)
    program("random").launch_over(packs_of(x), f"masked_{suffix}", *arrays, y, *settings)
    return y
