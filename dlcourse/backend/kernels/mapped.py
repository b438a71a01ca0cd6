"""A formula of one or two arrays, element by element."""

from collections.abc import Callable

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import kernel


@kernel
def mapped(x: Array, other: Array | None, formula: Callable) -> Array:
    """formula(xp, x), or formula(xp, x, other) of two arrays of one shape, xp being their array library.

    Each element of the result depends on those at its place only, and has x's type.
    """
    xp = array_module(x)
    y = formula(xp, x) if other is None else formula(xp, x, other)
    return y.astype(x.dtype, copy=False)
