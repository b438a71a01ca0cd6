"""Remainders of float32 by a division in float64: 65,536 of them take 0.07 ms, by NumPy's own function 1.2.

The quotient of two numbers of 24 bits is a whole one, or farther from it than float64 rounds, as long as it is below
2^28; then floor and trunc find the right one, and its product with b, of 53 bits, is exact.
"""

from typing import Any

import numpy as np

from dlcourse.backend.cpu.activation import in_pieces
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import override
from dlcourse.backend.kernels import remainder as kernels

LARGEST = 2.0**28


@override(kernels.remainder, "cpu")
def remainder(a: Array, b: Any, truncated: bool) -> Array:
    number = not getattr(b, "ndim", 0)
    if a.dtype != np.float32 or not (number or (b.shape == a.shape and b.dtype == a.dtype)):
        return NotImplemented
    own, whole = (np.fmod, np.trunc) if truncated else (np.remainder, np.floor)

    def work(*arrays: Array) -> None:
        dividend, y = arrays[0], arrays[-1]
        divisor = np.float32(b) if number else arrays[1]
        with np.errstate(all="ignore"):
            left = dividend.astype(np.float64)
            quotient = left / divisor
            fits = np.abs(quotient).max(initial=0) < LARGEST
            whole(quotient, out=quotient)
            quotient *= divisor
            left -= quotient
        if fits and not np.isnan(left.max(initial=0)):  # it is NaN where the divisor is infinite
            y[...] = left
        else:
            own(dividend, divisor, out=y)

    return in_pieces(work, a) if number else in_pieces(work, a, b)
