"""Sums at indexed positions on the GPU: indices become row numbers, and the embedding's gradient adds up the rows."""

from typing import Any

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import override
from dlcourse.backend.kernels import scatter as kernels
from dlcourse.backend.kernels.embedding import embedding_grad


@override(kernels.scatter_add, "cuda", half=True)
def scatter_add(dout: Array, index: Any, shape: tuple[int, ...]) -> Array:
    found = kernels.indexed_rows(index, shape, array_module(dout))
    if found is None:
        return NotImplemented
    rows, count, width = found
    return embedding_grad(dout.reshape(rows.size, width), rows, count).reshape(shape)
