"""The nearest neighbors of points."""

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import kernel

METRICS = ("l1", "l2", "linf")


@kernel
def nearest(queries: Array, references: Array, k: int, metric: str) -> tuple[Array, Array]:
    """The k references nearest to each query, the nearest first, the one with the lower index first where two tie.

    d(q, r) = sum_i |q_i - r_i| (l1), sqrt(sum_i (q_i - r_i)^2) (l2), max_i |q_i - r_i| (linf).

    Args:
        queries: (N, D), floating point.
        references: (M, D), of the same type; M >= k.
    Returns:
        Indices (N, k), int64, and distances (N, k), float64.
    """
    xp = array_module(queries)
    indices = xp.empty((len(queries), k), dtype=xp.int64)
    distances = xp.empty((len(queries), k), dtype=xp.float64)
    wide = references.astype(xp.float64)
    for row, query in enumerate(queries.astype(xp.float64)):
        far = distance(wide - query, metric)  # (M,)
        order = xp.lexsort(xp.stack([xp.arange(len(far), dtype=far.dtype), far]))[:k]  # by distance, then by index
        indices[row], distances[row] = order, far[order]
    return indices, distances


def distance(difference: Array, metric: str) -> Array:
    """The length of differences (..., D), over the last axis."""
    xp = array_module(difference)
    if metric == "l2":
        return xp.sqrt((difference * difference).sum(axis=-1))
    return abs(difference).sum(axis=-1) if metric == "l1" else abs(difference).max(axis=-1)
