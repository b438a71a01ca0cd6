"""Dropout: which elements stay is a function of (seed, purpose, draw, step), so both devices drop the same ones."""

import numpy as np

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import kernel
from dlcourse.backend.kernels.random import philox_bits
from dlcourse.backend.kernels.select import selected

Key = tuple[int, int, int, int]
"""Seed, hash of the purpose, draw within the step, step: the arguments of :func:`philox_bits`."""


@kernel
def dropout(x: Array, threshold: int, scale: float, key: Key) -> tuple[Array, Array]:
    """y = scale x where the element's random word is below the threshold, else 0; and where that is, booleans.

    Args:
        threshold: 0..2^32, of which the probability of staying is a 2^32nd part.
    """
    xp = array_module(x)
    bits = xp.empty(x.size, dtype=xp.uint32)
    philox_bits(bits, *key)
    # No 32-bit word holds 2^32.
    mask = xp.ones(x.shape, bool) if threshold == 2**32 else (bits < np.uint32(threshold)).reshape(x.shape)
    y = x * mask  # a product: a NaN that is dropped stays one, so that a net that has diverged says so
    y *= scale
    return y, mask


@kernel
def masked(x: Array, mask: Array, scale: float) -> Array:
    """scale x where ``mask``, else exactly 0: dropout's gradient."""
    return selected(x * x.dtype.type(scale), mask)
