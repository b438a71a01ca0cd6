"""Sums at indexed positions, the gradient of ``x[index]``; and products and extremes there."""

import itertools
import math
from typing import Any

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import kernel
from dlcourse.backend.kernels.embedding import embedding_grad
from dlcourse.backend.kernels.runs import join_runs


@kernel
def scatter_add(dout: Array, index: Any, shape: tuple[int, ...]) -> Array:
    """Zeros of a shape, to which dout is added at ``[index]``; values for one position are summed in a fixed order.

    Args:
        dout: floating point, of the shape that ``zeros(shape)[index]`` has.
        index: what stands between the brackets: an array of indices, a mask, or a tuple of those and slices.
        shape: of the result.
    """
    xp = array_module(dout)
    size = math.prod(shape)
    positions = xp.arange(size).reshape(shape)[index]
    return embedding_grad(dout.reshape(-1, 1), positions.reshape(-1), size).reshape(shape)


def indexed_rows(index: Any, shape: tuple[int, ...], xp: Any) -> tuple[Array, int, int] | None:
    """The rows that an index of whole numbers names in the array seen as a matrix: the indexed axes and those before
    them by all the others.

    Returns:
        The row numbers, how many rows there are, and their width; None for masks, lists, and slices but whole ones at
        the front.
    """
    parts = index if isinstance(index, tuple) else (index,)
    whole = sum(1 for _ in itertools.takewhile(lambda part: isinstance(part, slice) and part == slice(None), parts))
    before, shape, parts = math.prod(shape[:whole]), shape[whole:], parts[whole:]
    if not parts or not all(getattr(part, "dtype", None) is not None and part.dtype.kind in "iu" for part in parts):
        return None
    if any(array_module(part) is not xp for part in parts):
        return None
    rows: Any = 0
    for part, size in zip(parts, shape[: len(parts)], strict=True):
        rows = rows * size + xp.where(part < 0, part + size, part)
    count, rows = math.prod(shape[: len(parts)]), rows.reshape(-1)
    if whole:
        rows = (xp.arange(before)[:, None] * count + rows).reshape(-1)
    return rows, before * count, math.prod(shape[len(parts) :])


@kernel
def scatter_join(start: Array, places: Array, values: Array, join: str) -> Array:
    """``start`` (N,) with the values (M,) that have a place joined to what is there, in the values' order.

    Sorted by place they are joined by :func:`~dlcourse.backend.kernels.runs.join_runs`.

    Args:
        join: the name of a function of two arrays whose order of joining is free: maximum, minimum, multiply.
    """
    xp = array_module(start)
    y, joined = start.copy(), getattr(xp, join)
    if not len(places):
        return y
    order = xp.argsort(places, kind="stable")
    where, found = join_runs(places[order], values[order], joined)
    y[where] = joined(y[where], found)
    return y
