"""Nearest neighbors on the CPU: Euclidean through GEMM, other metrics in pieces that fit the cache, on all cores."""

import numpy as np

from dlcourse.backend.cpu import threads
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import neighbors as kernels
from dlcourse.backend.kernels import override
from dlcourse.backend.kernels.nearest_euclidean import nearest_euclidean

PIECE_BYTES = 1 << 18


@override(kernels.nearest, "cpu")
def nearest(queries: Array, references: Array, k: int, metric: str) -> tuple[Array, Array]:
    if metric == "l2":
        return nearest_euclidean(queries, references, k, rows=512, columns=8192)
    indices = np.empty((len(queries), k), dtype=np.int64)
    distances = np.empty((len(queries), k), dtype=np.float64)
    length = max(1, PIECE_BYTES // max(1, references.itemsize * references.shape[1]))

    def search(rows: range) -> None:
        piece = np.empty((min(length, len(references)), references.shape[1]), dtype=references.dtype)
        far = np.empty(len(references), dtype=np.float64)
        for row in rows:
            for start in range(0, len(references), length):
                part = references[start : start + length]
                gap = np.subtract(part, queries[row], out=piece[: len(part)])
                np.abs(gap, out=gap)
                far[start : start + len(part)] = gap.sum(axis=1) if metric == "l1" else gap.max(axis=1)
            order = np.argsort(far, kind="stable")[:k] if k * 8 > len(far) else _first(far, k)
            indices[row], distances[row] = order, far[order]

    workers = min(threads.budget(), len(queries))
    threads.run(search, [range(start, len(queries), workers) for start in range(workers)])
    return indices, distances


def _first(far: Array, k: int) -> Array:
    """The k smallest in order, ties by index, without sorting all."""
    bound = np.partition(far, k - 1)[k - 1]
    candidates = np.flatnonzero(far <= bound)
    return candidates[np.argsort(far[candidates], kind="stable")][:k]
