"""Sums at indexed positions on the GPU: indices become row numbers, and the embedding's gradient adds up the rows."""

import math
from typing import Any

from dlcourse.backend.cuda.program import override
from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import require
from dlcourse.backend.kernels import scatter as kernels
from dlcourse.backend.kernels.embedding import embedding_grad


@override(kernels.scatter_add, half=True)
def scatter_add(dout: Array, index: Any, shape: tuple[int, ...]) -> Array:
    parts = index if isinstance(index, tuple) else (index,)
    require(all(getattr(part, "dtype", None) is not None and part.dtype.kind in "iu" for part in parts))
    xp = array_module(dout)
    require(len(parts) > 0 and all(array_module(part) is xp for part in parts))
    rows: Any = 0  # of the result seen as a matrix: the indexed axes by all the others
    for part, size in zip(parts, shape[: len(parts)], strict=True):
        rows = rows * size + xp.where(part < 0, part + size, part)
    width = math.prod(shape[len(parts) :])
    total = embedding_grad(dout.reshape(rows.size, width), rows.reshape(-1), math.prod(shape[: len(parts)]))
    return total.reshape(shape)
