"""Rows of a table, and their gradient."""

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import kernel
from dlcourse.backend.kernels.runs import join_runs


@kernel
def embedding_grad(dout: Array, indices: Array, rows: int) -> Array:
    """Sum the rows of dout (M, D) that belong to the same index (M,): (rows, D).

    Sorted by index they are joined by :func:`~dlcourse.backend.kernels.runs.join_runs`. The order of the sums, and with
    it the rounding, is always the same: CuPy's running totals and its ``add.at`` differ from run to run.
    """
    xp = array_module(dout)
    grad = xp.zeros((rows, dout.shape[1]), dtype=dout.dtype)
    if not len(indices):
        return grad
    order = xp.argsort(indices, kind="stable")
    places, sums = join_runs(indices[order], dout[order], xp.add)
    grad[places] = sums
    return grad
