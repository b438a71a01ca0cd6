"""Sums at indexed positions: whole rows by the embedding's gradient, single numbers by counting with weights."""

import math
from typing import Any

import numpy as np

from dlcourse.backend.device import Array
from dlcourse.backend.kernels import override
from dlcourse.backend.kernels import scatter as kernels
from dlcourse.backend.kernels.embedding import embedding_grad

_MIN_WIDTH = 16
"""From this width on rows are sorted and added as such: 1000 rows of 1000 in 2 ms, by ``add.at`` in 30."""

_FEW = 4
"""Where the result has more than so many elements for each number, most stay 0, and counting looks at all of them."""


@override(kernels.scatter_add, "cpu")
def scatter_add(dout: Array, index: Any, shape: tuple[int, ...]) -> Array:
    found = kernels.indexed_rows(index, shape, np)
    if found is None:
        total = np.zeros(shape, dtype=dout.dtype)
        np.add.at(total, index, dout)
        return total
    rows, count, width = found
    if width >= _MIN_WIDTH:
        return embedding_grad(dout.reshape(rows.size, width), rows, count).reshape(shape)
    places = rows if width == 1 else (rows[:, None] * width + np.arange(width)).reshape(-1)
    if places.size * _FEW < math.prod(shape):
        total = np.zeros(math.prod(shape), dtype=dout.dtype)
        np.add.at(total, places, dout.reshape(-1))
        return total.reshape(shape)
    return np.bincount(places, dout.reshape(-1), math.prod(shape)).astype(dout.dtype).reshape(shape)


@override(kernels.scatter_join, "cpu")
def scatter_join(start: Array, places: Array, values: Array, join: str) -> Array:
    y = start.copy()
    getattr(np, join).at(y, places, values)
    return y
