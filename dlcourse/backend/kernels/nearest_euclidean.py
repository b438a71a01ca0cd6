"""Euclidean neighbors through matrix products, for the CPU's and the GPU's override of ``nearest``."""

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels.linear import product
from dlcourse.backend.kernels.neighbors import distance

SPARE = 8
"""Candidates taken beyond k while distances are rounded; the final order is computed exactly among them."""

EXACT_BYTES = 1 << 20
"""Memory for differences in float64 at once: they stay in a CPU's cache."""


def nearest_euclidean(queries: Array, references: Array, k: int, rows: int, columns: int) -> tuple[Array, Array]:
    """The kernel ``nearest`` for l2, by blocks of ``rows`` queries and ``columns`` references.

    |q - r|^2 = |q|^2 - 2 q^T r + |r|^2: one matrix product a block, memory for rows x columns numbers, never N x M x D.
    The difference of large squares loses digits, so points are first moved by the references' mean, k + 8 candidates
    are taken, and their distances are computed again as differences in float64. Where a reference that was left out may
    be as near as the k-th, by what rounding allows, all distances of that query are computed so.
    """
    xp = array_module(queries)
    center = references.mean(axis=0)
    count = min(k + SPARE, len(references))
    indices = xp.empty((len(queries), k), dtype=xp.int64)
    distances = xp.empty((len(queries), k), dtype=xp.float64)
    blocks = []  # references are moved once
    for start in range(0, len(references), columns):
        moved = references[start : start + columns] - center
        blocks.append((start, moved, xp.einsum("ij,ij->i", moved, moved)))
    largest = xp.stack([squares.max() for _, _, squares in blocks]).max()
    # Rounding of a sum of D products, some standard deviations wide.
    rounding = 4 * references.shape[1] ** 0.5 * float(xp.finfo(queries.dtype).eps)
    for top in range(0, len(queries), rows):
        part = queries[top : top + rows]
        moved = part - center
        scores, ids = _candidates(moved, blocks, count)
        ids = xp.sort(ids, axis=1)  # so that a stable sort by distance puts the lower index first
        found, far = _ranked(part, references, ids, k)
        if count < len(references):
            own = (moved * moved).sum(axis=1)
            # Whatever was left out scores at least the largest that was taken.
            settled = scores.max(axis=1) + own - rounding * (own + largest) > far[:, -1] ** 2
            for row in xp.flatnonzero(~settled).tolist():
                found[row], far[row] = _among_all(part[row], references, k)
        indices[top : top + rows], distances[top : top + rows] = found, far
    return indices, distances


def _candidates(moved: Array, blocks: list[tuple[int, Array, Array]], count: int) -> tuple[Array, Array]:
    """Of each row the ``count`` references with the smallest scores |r|^2 - 2 q^T r, in any order: scores, indices."""
    xp = array_module(moved)
    far = ids = None
    for start, block, squares in blocks:
        scores = product(moved, block.T, None)  # (rows, columns)
        scores *= -2
        scores += squares  # |q|^2 is the same along a row and changes no order
        chosen = _smallest(scores, count)
        values = xp.take_along_axis(scores, chosen, axis=1)
        far = values if far is None else xp.concatenate([far, values], axis=1)
        ids = chosen + start if ids is None else xp.concatenate([ids, chosen + start], axis=1)
        if far.shape[1] > count:
            best = _smallest(far, count)
            far, ids = xp.take_along_axis(far, best, axis=1), xp.take_along_axis(ids, best, axis=1)
    return far, ids


def _ranked(queries: Array, references: Array, ids: Array, k: int) -> tuple[Array, Array]:
    """The k nearest of each row's candidates, which are in ascending order: indices and exact distances."""
    xp = array_module(queries)
    exact = xp.empty(ids.shape, dtype=xp.float64)
    length = max(1, EXACT_BYTES // (8 * ids.shape[1] * queries.shape[1]))
    for start in range(0, len(ids), length):
        part = slice(start, start + length)
        exact[part] = distance(references[ids[part]].astype(xp.float64) - queries[part, None].astype(xp.float64), "l2")
    order = xp.argsort(exact, axis=1, kind="stable")[:, :k]
    return xp.take_along_axis(ids, order, axis=1), xp.take_along_axis(exact, order, axis=1)


def _among_all(query: Array, references: Array, k: int) -> tuple[Array, Array]:
    """The k nearest of all references to one query: indices and exact distances."""
    xp = array_module(query)
    length = max(1, EXACT_BYTES // (8 * len(query)))
    parts = [references[start : start + length] for start in range(0, len(references), length)]
    far = xp.concatenate([distance(part.astype(xp.float64) - query.astype(xp.float64), "l2") for part in parts])
    order = xp.argsort(far, kind="stable")[:k]
    return order, far[order]


def _smallest(values: Array, count: int) -> Array:
    """Where the ``count`` smallest of each row are, in any order."""
    xp = array_module(values)
    if values.shape[1] <= count:
        return xp.broadcast_to(xp.arange(values.shape[1]), values.shape)
    return xp.argpartition(values, count - 1, axis=1)[:, :count]
