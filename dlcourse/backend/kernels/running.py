"""Running sums of other kinds than addition, and the gradient of running products."""

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


@kernel
def cumprod_grad(dout: Array, x: Array, y: Array, axis: int) -> Array:
    """dx of the running products y of x along an axis: dx_i = y_(i-1) g_i with g_i = dy_i + x_(i+1) g_(i+1), right
    beside zeros too; in passes as those of :func:`accumulated`."""
    xp = array_module(dout)
    x, y = (xp.moveaxis(one, axis, 0) for one in (x, y))
    total = xp.moveaxis(dout, axis, 0).copy()
    factor = xp.concatenate([x[1:], xp.zeros_like(x[:1])])
    distance = 1
    while distance < len(total):  # total_i sums dy_i ... dy_(i+d-1), factor_i is x_(i+1) ... x_(i+d)
        total[:-distance] += factor[:-distance] * total[distance:]
        factor[:-distance] = factor[:-distance] * factor[distance:]
        distance *= 2
    total[1:] *= y[:-1]
    return xp.moveaxis(total, 0, axis)
