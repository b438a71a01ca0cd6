"""The error function by a polynomial, in float32 only: the reference's hundred terms are for float64's digits."""

import math

import numpy as np

from dlcourse.backend.device import Array
from dlcourse.backend.kernels import override
from dlcourse.backend.kernels import special as kernels

_erf = np.frompyfunc(math.erf, 1, 1)


@override(kernels.erf, "cpu")
def erf(x: Array) -> Array:
    if x.dtype != np.float32:
        return np.asarray(_erf(x), dtype=x.dtype)  # the C library's, one call an element: exact, and used in checks
    # Abramowitz & Stegun 7.1.26 is good to 1.5e-7 absolute, float32's own resolution near 1; but near 0 its error is
    # large against erf x itself, so there the Taylor series takes over.
    size = np.abs(x)
    t = 1 / (1 + np.float32(0.3275911) * size)
    tail = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    far = 1 - tail * np.exp(-size * size)
    square = x * x
    series = 1 + square * (-1 / 3 + square * (1 / 10 + square * (-1 / 42 + square * (1 / 216 - square / 1320))))
    near = np.float32(2 / math.sqrt(math.pi)) * x * series
    return np.where(size < 0.5, near, np.copysign(far, x))
