"""What is left of a division, element by element."""

from typing import Any

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import kernel


@kernel
def remainder(a: Array, b: Any, truncated: bool) -> Array:
    """a - b floor(a / b), of the sign of b; ``truncated``: a - b trunc(a / b), of the sign of a. Exact but for one
    rounding.

    Args:
        b: an array that broadcasts, or a number.
    """
    xp = array_module(a)
    return xp.fmod(a, b) if truncated else xp.remainder(a, b)
