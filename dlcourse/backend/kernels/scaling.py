"""Between the 16 bits that a model computes with and the float32 that its optimizer keeps (Micikevicius et al. 2018).

The loss scale lives on the device, so that nothing is read back: ``scaler`` is float32 (4,) with the scale, whether
this step overflowed (0 or 1), the steps since the scale last changed, and how many steps were skipped in all.
"""

import numpy as np

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import kernel
from dlcourse.backend.kernels.cast import astype, cast

SCALE, OVERFLOW, SINCE, SKIPPED = range(4)
FIRST_SCALE = 2.0**16
GROWTH, BACKOFF, INTERVAL = 2.0, 0.5, 2000
"""The scale doubles after so many steps without overflow, and halves at one."""


@kernel
def unscale(half: Array, grad: Array, scaler: Array | None, add: bool) -> None:
    """grad <- half / scale, or grad + half / scale; whether any of it is infinite or NaN goes into the scaler.

    Args:
        half: (P,) gradients of scale times the loss, 16 bits.
        grad: (P,) float32; written to.
        scaler: see above; None for a scale of 1, and nothing to be watched for.
    """
    xp = array_module(grad)
    found = astype(half, np.float32)
    if scaler is not None:
        scaler[OVERFLOW] = xp.maximum(scaler[OVERFLOW], ~xp.isfinite(found).all())
        found /= scaler[SCALE]
    if add:
        grad += found
    else:
        grad[...] = found


@kernel
def refresh_half_weights(weight: Array, half: Array, scaler: Array | None) -> None:
    """half <- weight, rounded; and the scale of the next step.

    After an overflow the scale halves and the step counts as skipped; after 2000 steps without one it doubles.
    """
    cast(weight, half)
    if scaler is None:
        return
    xp = array_module(scaler)
    scale, overflow, since, skipped = scaler
    since = xp.where(overflow > 0, 0, since + 1)
    grown = since >= INTERVAL
    factor = xp.where(overflow > 0, BACKOFF, xp.where(grown, GROWTH, 1))
    values = scale * factor, 0 * overflow, xp.where(grown, 0, since), skipped + overflow
    scaler[...] = xp.stack([xp.asarray(value, dtype=np.float32) for value in values])


def new_scaler(beside: Array) -> Array:
    """A scaler on the device of an array, at the first scale."""
    return array_module(beside).asarray([FIRST_SCALE, 0, 0, 0], dtype=np.float32)


def skips(scaler: Array | None) -> bool:
    """Whether an optimizer leaves everything as it is; reads the device."""
    return scaler is not None and bool(scaler[OVERFLOW] > 0)


def counted(step: int, scaler: Array | None) -> int:
    """The number of a step among those that were not skipped; reads the device."""
    return step if scaler is None else step - int(scaler[SKIPPED])
