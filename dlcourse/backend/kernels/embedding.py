"""Rows of a table, and their gradient."""

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import kernel


@kernel
def embedding_grad(dout: Array, indices: Array, rows: int) -> Array:
    """Sum the rows of dout (M, D) that belong to the same index (M,): (rows, D).

    Sorted by index and summed segment by segment: the order of the sums, and with it the rounding, is always the same.
    """
    xp = array_module(dout)
    grad = xp.zeros((rows, dout.shape[1]), dtype=dout.dtype)
    if not len(indices):
        return grad
    order = xp.argsort(indices, kind="stable")
    ordered = indices[order]
    starts = xp.concatenate([xp.zeros(1, dtype=xp.int64), xp.flatnonzero(ordered[1:] != ordered[:-1]) + 1])
    # A running total in float64 turns each segment's sum into a difference; NumPy's reduceat has no twin in CuPy.
    totals = xp.cumsum(dout[order].astype(xp.float64), axis=0)
    ends = xp.concatenate([starts[1:], xp.asarray([len(ordered)])]) - 1
    sums = totals[ends]
    sums[1:] -= totals[ends[:-1]]
    grad[ordered[starts]] = sums.astype(dout.dtype)
    return grad
