"""Random erasing (Zhong et al. 2020): a rectangle of an image is blanked, of random place, area and shape."""

import functools
from typing import Any, NamedTuple

import numpy as np

from dlcourse.backend.device import Array, array_module

WORDS = 5
"""Random words for each image: whether, the area, the shape, the row and the column."""
AREA, ASPECT = (0.02, 0.33), (0.3, 3.3)
"""Bounds of the rectangle's share of the image, uniform, and of its height over its width, uniform in its logarithm:
those of ``torchvision.transforms.RandomErasing``."""
_LEVELS = 1 << 12


class Erasing(NamedTuple):
    """What is drawn from, on the device.

    Attributes:
        threshold: words below it erase.
        areas, aspects: square roots of the equally likely areas and aspects.
    """

    threshold: int
    areas: Array
    aspects: Array


def erasing(probability: float, place: Any) -> Erasing:
    """For a probability above 0, on a backend."""
    return Erasing(round(probability * 2**32), *map(place.asarray, _roots()))


@functools.cache
def _roots() -> tuple[np.ndarray, np.ndarray]:
    middles = (np.arange(_LEVELS) + 0.5) / _LEVELS
    low, high = np.log(ASPECT)
    return np.sqrt(AREA[0] + middles * (AREA[1] - AREA[0])), np.exp((low + middles * (high - low)) / 2)


def erased(images: Array, words: Array, how: Erasing) -> Array:
    """Images (n, H, W, C), some with zeros in a rectangle that is smaller than the image each way."""
    xp, wide = array_module(images), words.astype("uint64")
    area, aspect = (table.take((words[:, k] >> 20).astype("int64")) for k, table in ((1, how.areas), (2, how.aspects)))
    inside = []
    for axis, side in enumerate(images.shape[1:3]):
        length = xp.rint(side * area * (aspect if axis == 0 else 1 / aspect)).clip(0, side - 1).astype("int64")
        room = (side - length + 1).astype("uint64")
        first = (wide[:, 3 + axis] * room >> xp.uint64(32)).astype("int64")[:, None]
        position = xp.arange(side)
        inside.append((position >= first) & (position < first + length[:, None]))
    hole = inside[0][:, :, None] & inside[1][:, None, :] & (wide[:, :1, None] < xp.uint64(how.threshold))
    return xp.where(hole[..., None], xp.zeros((), images.dtype), images)
