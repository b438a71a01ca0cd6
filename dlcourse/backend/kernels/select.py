"""Selection by a mask, as in the gradients of ReLU, clip, dropout and maximum."""

from typing import Any

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import kernel


@kernel(half=True)
def selected(x: Array, flags: Array) -> Array:
    """x where the flag is set, else exactly 0, also where x is infinite or NaN: a product with the flag would be NaN.

    Args:
        flags: booleans that broadcast to x's shape.
    """
    return array_module(x).where(flags, x, x.dtype.type(0))


@kernel(half=True)
def chosen(flags: Array, a: Any, b: Any) -> Array:
    """a where the flag is set, else b: ``where`` of one type, that of a and b.

    Args:
        flags: booleans.
        a, b: arrays of the flags' shape, or numbers, one of them at least an array or NumPy's number.
    """
    return array_module(flags).where(flags, a, b)
