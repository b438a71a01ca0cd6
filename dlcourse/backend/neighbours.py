"""Euclidean neighbours through matrix products, on either array library: what the overrides of ``nearest`` share."""

from dlcourse.backend.device import Array, array_module

SPARE = 8
"""Candidates kept beyond k while distances are rounded; the final order is computed exactly among them."""


def nearest_euclidean(queries: Array, references: Array, k: int, rows: int, columns: int) -> tuple[Array, Array]:
    """The kernel ``nearest`` for l2, by blocks of ``rows`` queries and ``columns`` references.

    |q - r|^2 = |q|^2 - 2 q^T r + |r|^2: one matrix product a block, memory for rows x columns numbers, never N x M x D.
    The difference of large squares loses digits, so points are first moved by the references' mean, k + 8 candidates
    are kept, and their distances are computed again as differences in float64.
    """
    xp = array_module(queries)
    centre = references.mean(axis=0)
    kept = min(k + SPARE, len(references))
    indices = xp.empty((len(queries), k), dtype=xp.int64)
    distances = xp.empty((len(queries), k), dtype=xp.float64)
    blocks = []  # references are moved once
    for start in range(0, len(references), columns):
        moved = references[start : start + columns] - centre
        blocks.append((start, moved, (moved * moved).sum(axis=1)))
    for top in range(0, len(queries), rows):
        part = queries[top : top + rows]
        moved = part - centre
        far = ids = None
        for start, block, squares in blocks:
            scores = moved @ block.T  # (rows, columns)
            scores *= -2
            scores += squares  # |q|^2 is the same along a row and changes no order
            chosen = _smallest(scores, kept)
            values = xp.take_along_axis(scores, chosen, axis=1)
            far = values if far is None else xp.concatenate([far, values], axis=1)
            ids = chosen + start if ids is None else xp.concatenate([ids, chosen + start], axis=1)
            if far.shape[1] > kept:
                best = _smallest(far, kept)
                far, ids = xp.take_along_axis(far, best, axis=1), xp.take_along_axis(ids, best, axis=1)
        ids = xp.sort(ids, axis=1)  # so that a stable sort by distance puts the lower index first
        for row in range(len(part)):
            exact = references[ids[row]].astype(xp.float64) - part[row].astype(xp.float64)
            exact = xp.sqrt((exact * exact).sum(axis=1))
            order = xp.lexsort(xp.stack([ids[row].astype(xp.float64), exact]))[:k]
            indices[top + row], distances[top + row] = ids[row][order], exact[order]
    return indices, distances


def _smallest(values: Array, count: int) -> Array:
    """Where the ``count`` smallest of each row are, in any order."""
    xp = array_module(values)
    if values.shape[1] <= count:
        return xp.broadcast_to(xp.arange(values.shape[1]), values.shape)
    return xp.argpartition(values, count - 1, axis=1)[:, :count]
