"""The logarithm of the gamma function and its derivatives, which NumPy lacks.

For x of at least 10 by Stirling's series, for smaller ones from that of x + 10 by the recurrences, below 1/2 by
reflection (DLMF 5.5, 5.11, 5.15, https://dlmf.nist.gov/5). All in float64, to about 1e-14.
"""

import math
from typing import Any

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import kernel

SHIFT = 10
BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)
"""B_2, B_4, ..."""


@kernel
def lgamma(x: Array) -> Array:
    """log |Gamma(x)|, element by element; infinite at 0, -1, -2 ..."""
    xp, wide, size = _positive(x)
    z, steps = _shifted(xp, size)
    total = (z - 0.5) * xp.log(z) - z + 0.5 * math.log(2 * math.pi)
    for k, b in enumerate(BERNOULLI, 1):
        total = total + b / (2 * k * (2 * k - 1)) * z ** (1 - 2 * k)
    product = xp.ones_like(size)
    for k in range(SHIFT):
        product = product * xp.where(steps, size + k, 1)
    total = total - xp.log(product)
    sine = abs(xp.sin(math.pi * (wide - xp.round(wide))))
    reflected = math.log(math.pi) - xp.log(xp.where(sine == 0, 1, sine)) - total
    found = xp.where(wide < 0.5, xp.where(sine == 0, math.inf, reflected), total)
    return xp.where(abs(wide) == math.inf, math.inf, found).astype(x.dtype)


@kernel
def digamma(x: Array) -> Array:
    """psi(x), the derivative of log |Gamma(x)|, element by element; NaN at -1, -2 ..., infinite at 0, with the sign
    that the 0 has not."""
    xp, wide, size = _positive(x)
    z, steps = _shifted(xp, size)
    total = xp.log(z) - 0.5 / z
    for k, b in enumerate(BERNOULLI, 1):
        total = total - b / (2 * k) * z ** (-2 * k)
    for k in range(SHIFT):
        total = total - xp.where(steps, 1 / (size + k), 0)
    away = wide - xp.round(wide)
    pole = (away == 0) & (wide <= 0)
    tangent = xp.tan(math.pi * xp.where(pole, 0.25, away))
    reflected = total - math.pi / xp.where(tangent == 0, 1, tangent)
    found = xp.where(pole, xp.where(wide == 0, -xp.copysign(math.inf, wide), math.nan), reflected)
    return xp.where(wide < 0.5, found, total).astype(x.dtype)


@kernel
def trigamma(x: Array) -> Array:
    """psi'(x), the second derivative of log |Gamma(x)|, element by element; infinite at 0, -1, -2 ..."""
    xp, wide, size = _positive(x)
    z, steps = _shifted(xp, size)
    total = 1 / z + 0.5 / (z * z)
    for k, b in enumerate(BERNOULLI, 1):
        total = total + b * z ** (-2 * k - 1)
    for k in range(SHIFT):
        total = total + xp.where(steps, 1 / (size + k) ** 2, 0)
    sine = xp.sin(math.pi * (wide - xp.round(wide)))
    reflected = (math.pi / xp.where(sine == 0, 1, sine)) ** 2 - total
    return xp.where(wide < 0.5, xp.where(sine == 0, math.inf, reflected), total).astype(x.dtype)


def _positive(x: Array) -> tuple[Any, Array, Array]:
    """The array library, x in float64, and x or where it is below 1/2 its reflection 1 - x."""
    xp = array_module(x)
    wide = x.astype(xp.float64)
    return xp, wide, xp.where(wide < 0.5, 1 - wide, wide)


def _shifted(xp: Any, size: Array) -> tuple[Array, Array]:
    """A number that is large enough for the series, and where it is not the number itself."""
    steps = size < SHIFT
    return xp.where(steps, size + SHIFT, size), steps
