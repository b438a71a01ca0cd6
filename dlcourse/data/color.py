"""The random changes of an image's colors, see ``dlcourse/backend/kernels/color.py``."""

from itertools import permutations
from typing import Any, NamedTuple

import numpy as np

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels.color import color_jitter
from dlcourse.config.data_sections import ColorJitter

WORDS = 5
"""Random words for each image: the order, and the four factors."""


class Jitter(NamedTuple):
    """What is drawn from, on the device.

    Attributes:
        orders: (24, 4), all orders of the four functions.
        low, span: (4,), of their factors.
        used: those that change anything.
    """

    orders: Array
    low: Array
    span: Array
    used: tuple[int, ...]


def jitter(how: ColorJitter, place: Any) -> Jitter:
    """Factors are uniform in 1 - s to 1 + s, not below 0, s being the strength; that of the hue in -s to s."""
    strengths = np.array([how.brightness, how.contrast, how.saturation, how.hue])
    middle = np.array([1.0, 1.0, 1.0, 0.0])
    low = np.maximum(middle - strengths, [0.0, 0.0, 0.0, -0.5])
    orders = np.array(list(permutations(range(4))))
    used = tuple(int(k) for k in np.flatnonzero(strengths))
    return Jitter(place.asarray(orders), place.asarray(low), place.asarray(middle + strengths - low), used)


def jittered(images: Array, words: Array, how: Jitter) -> Array:
    """Images (n, H, W, C) in 0..1 with their colors changed as the words (n, 5) say."""
    xp = array_module(images)
    chosen = words[:, 0].astype(xp.uint64) * xp.uint64(len(how.orders)) >> xp.uint64(32)
    factors = how.low + words[:, 1:].astype("float64") * 2.0**-32 * how.span
    return color_jitter(images, how.orders.take(chosen.astype(xp.int64), axis=0), factors, how.used)
