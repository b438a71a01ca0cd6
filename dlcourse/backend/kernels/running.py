"""Running sums of other kinds than addition."""

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import kernel


@kernel
def accumulated(x: Array, axis: int, join: str) -> Array:
    """y_i = join(...join(x_1, x_2)..., x_i) along an axis, in log2(n) passes over the whole array.

    The pass of distance d = 1, 2, 4, ... joins each result with that of d places before (Hillis & Steele, "Data
    parallel algorithms", CACM 29, 1986).

    Args:
        join: the name of a function of two arrays whose order of joining is free: maximum, minimum, logaddexp.
    """
    xp = array_module(x)
    y = x.copy()
    rows = xp.moveaxis(y, axis, 0)  # a view
    distance = 1
    while distance < len(rows):
        rows[distance:] = getattr(xp, join)(rows[:-distance], rows[distance:])
        distance *= 2
    return y
