"""Rows of a table, and their gradient."""

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import kernel


@kernel
def embedding_grad(dout: Array, indices: Array, rows: int) -> Array:
    """Sum the rows of dout (M, D) that belong to the same index (M,): (rows, D).

    Sorted by index, each row then adds the row 1, 2, 4, ... before it where that has its index too; the last row of an
    index holds the sum. The order of the sums, and with it the rounding, is always the same: CuPy's running totals and
    its ``add.at`` differ from run to run.
    """
    xp = array_module(dout)
    grad = xp.zeros((rows, dout.shape[1]), dtype=dout.dtype)
    if not len(indices):
        return grad
    order = xp.argsort(indices, kind="stable")
    ordered, sums = indices[order], dout[order]
    distance = 1
    while distance < len(ordered):
        same = ordered[distance:] == ordered[:-distance]
        sums[distance:] += xp.where(same[:, None], sums[:-distance], 0)
        distance *= 2
    last = xp.concatenate([ordered[1:] != ordered[:-1], xp.ones(1, dtype=bool)])
    grad[ordered[last]] = sums[last]
    return grad
