"""The embedding's gradient: rows of one index side by side are summed by ``reduceat``, or one after another.

256 rows of 1,000 numbers for 128 indices take 0.97 ms by ``reduceat``, 0.17 in rounds; 8,192 rows of 64 for 100 indices
0.9 and 2.0 (one core of an AMD EPYC, Zen 4).
"""

import numpy as np

from dlcourse.backend.device import Array
from dlcourse.backend.kernels import embedding as kernels
from dlcourse.backend.kernels import override

MAX_REPEATS = 16
"""Of an index; where one comes more often, sums over sorted rows are quicker than a pass for each repeat."""


@override(kernels.embedding_grad, "cpu")
def embedding_grad(dout: Array, indices: Array, rows: int) -> Array:
    grad = np.zeros((rows, dout.shape[1]), dtype=dout.dtype)
    if not len(indices):
        return grad
    order = np.argsort(indices, kind="stable")
    ordered = indices[order]
    starts = np.concatenate([[0], np.flatnonzero(ordered[1:] != ordered[:-1]) + 1])
    counts = np.diff(starts, append=len(ordered))
    if counts.max() > MAX_REPEATS:
        grad[ordered[starts]] = np.add.reduceat(dout[order], starts, axis=0)
        return grad
    grad[ordered[starts]] = dout[order[starts]]
    for number in range(1, counts.max()):  # in this round those that come at least once more
        again = starts[counts > number]
        grad[ordered[again]] += dout[order[again + number]]
    return grad
