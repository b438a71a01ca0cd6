"""Sums at indexed positions on the GPU: indices become row numbers, and the embedding's gradient adds up the rows."""

import math
from typing import Any

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import override
from dlcourse.backend.kernels import scatter as kernels
from dlcourse.backend.kernels.embedding import embedding_grad


@override(kernels.scatter_add, "cuda", half=True)
def scatter_add(dout: Array, index: Any, shape: tuple[int, ...]) -> Array:
    parts = index if isinstance(index, tuple) else (index,)
    if not parts or not all(getattr(part, "dtype", None) is not None and part.dtype.kind in "iu" for part in parts):
        return NotImplemented  # masks, slices, lists
    xp = array_module(dout)
    if any(array_module(part) is not xp for part in parts):
        return NotImplemented
    rows: Any = 0  # of the result seen as a matrix: the indexed axes by all the others
    for part, size in zip(parts, shape[: len(parts)], strict=True):
        rows = rows * size + xp.where(part < 0, part + size, part)
    width = math.prod(shape[len(parts) :])
    total = embedding_grad(dout.reshape(rows.size, width), rows.reshape(-1), math.prod(shape[: len(parts)]))
    return total.reshape(shape)
