"""The normal distribution's function and the error function by polynomials in float32; the references'
hundred terms are for float64."""

import math

import numpy as np

from dlcourse.backend.cpu.activation import by_pieces
from dlcourse.backend.cpu.memory import scratch
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import override
from dlcourse.backend.kernels import special as kernels

_erf, _erfc = (np.frompyfunc(function, 1, 1) for function in (math.erf, math.erfc))
EDGE = 3.92
"""Beyond it erf is 1 to float32's last digit."""
NUMERATOR = 1.1283791461, 0.19040733715, 0.052748844022, 3.7656559197e-3, 2.8488387915e-4, 2.0500841659e-6
DENOMINATOR = 1.0, 0.50207686975, 0.11410947684, 0.014969294290, 1.1625454826e-3, 3.8091743226e-5
"""erf z = z P(z^2) / Q(z^2) to 1.9e-8 of the value up to the edge: fitted by least squares, weighted anew until the
errors were even. All terms are positive, so that nothing cancels."""
EXPONENT = (
    *(-1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806),
    *(0.27886807, -1.13520398, 1.48851587, -0.82215223, 0.17087277),
)
"""erfc z = t e^(-z^2 + P(t)), t = 1 / (1 + z/2), to 1.2e-7 of the value for all z >= 0 (Press et al., Numerical
Recipes, section 6.2)."""


@override(kernels.normal_cdf, "cpu")
def normal_cdf(x: Array) -> Array:
    if x.dtype != np.float32:
        # The C library's, one call an element: exact, and used in checks.
        return np.asarray(0.5 * _erfc(x * -(0.5**0.5)), dtype=x.dtype)
    tail = 0.5 * _erfc_of_sizes(np.abs(x, dtype=np.float64) * 0.5**0.5)
    return np.abs((x >= 0) - tail).astype(np.float32)  # the tail for x < 0, 1 less it for others


@by_pieces(kernels.erf)
def erf(x: Array, y: Array) -> None:
    if x.dtype != np.float32:
        y[...] = _erf(x)
        return
    inside = np.clip(x, -EDGE, EDGE)
    square = inside * inside
    over, under = scratch("erf", x.shape, x.dtype), scratch("erf-divisor", x.shape, x.dtype)
    for total, coefficients in ((over, NUMERATOR), (under, DENOMINATOR)):
        np.multiply(square, coefficients[-1], out=total)
        for coefficient in coefficients[-2:0:-1]:
            total += coefficient
            total *= square
        total += coefficients[0]
    over *= inside
    np.divide(over, under, out=y)
    np.clip(y, -1, 1, out=y)


def _erfc_of_sizes(size: Array) -> Array:
    """erfc z of numbers z >= 0 in float64: the exponent reaches 100, whose rounding in float32 alone would be 4e-6 of
    the value."""
    t = 1 / (1 + 0.5 * size)
    exponent = t * EXPONENT[-1]
    for coefficient in EXPONENT[-2:0:-1]:
        exponent += coefficient
        exponent *= t
    exponent += EXPONENT[0]
    exponent -= size * size
    tail = np.exp(exponent, out=exponent)
    tail *= t
    return tail
