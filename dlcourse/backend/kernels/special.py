"""The error function, which NumPy lacks."""

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import kernel

SERIES_TERMS = 60
FRACTION_TERMS = 120
CROSSOVER = 2.5


@kernel
def erf(x: Array) -> Array:
    """erf x = 2/sqrt(pi) integral_0^x e^(-t^2) dt, element by element, to about 1e-15.

    Below |x| = 2.5 by Kummer's series 2x/sqrt(pi) e^(-x^2) sum_n (2 x^2)^n / (1 3 5 ... (2n + 1)), whose terms are all
    positive so that nothing cancels; above by the continued fraction of erfc (Abramowitz & Stegun 7.1.6 and 7.1.14).
    """
    xp = array_module(x)
    wide = x.astype(xp.float64)
    size = abs(wide)
    near = xp.minimum(size, CROSSOVER)
    term = near * (2 / xp.pi**0.5) * xp.exp(-near * near)
    total = term.copy()
    for n in range(1, SERIES_TERMS):
        term = term * (2 * near * near / (2 * n + 1))
        total += term
    # erfc x = e^(-x^2) / sqrt(pi) * 1/(x + (1/2)/(x + (2/2)/(x + (3/2)/(x + ...))))
    far = xp.maximum(size, CROSSOVER)
    fraction = far.copy()
    for n in range(FRACTION_TERMS, 0, -1):
        fraction = far + (n / 2) / fraction
    tail = 1 - xp.exp(-far * far) / (xp.pi**0.5 * fraction)
    value = xp.copysign(xp.where(size < CROSSOVER, total, tail), wide)
    return xp.where(xp.isnan(wide), wide, value).astype(x.dtype)
