"""Mixup and CutMix: each image mixed with the one before it in the batch, and their labels likewise.

Mixup (Zhang et al. 2018): x <- l x + (1 - l) x', l ~ Beta(alpha, alpha). CutMix (Yun et al. 2019): a box of x' with the
share 1 - l of the image's area, its center uniform, is pasted into x; l is then what is left of x. In both cases the
target is l onehot(y) + (1 - l) onehot(y'). One l, and one box, for a batch, as in ``torchvision.transforms.v2``; where
both are wanted, each batch is mixed by one or the other.
"""

import functools
from typing import Any, NamedTuple

import numpy as np

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.precision import accumulation_dtype

WORDS = 4
"""Random words for a batch: which of the two, l, and the row and the column of the box's center."""
QUANTILES = 1 << 12


class Mixing(NamedTuple):
    """What is drawn from: a mixing of images of one size.

    Attributes:
        classes: how many there are.
        mixup: quantiles of l, on the device; None where it is not wanted.
        cutmix: (QUANTILES, 2), half the box's height and width for each of the quantiles of its l; None likewise.
    """

    classes: int
    mixup: Array | None
    cutmix: Array | None


def mixing(classes: int, mixup: float, cutmix: float, size: tuple[int, int], place: Any) -> Mixing:
    """For images of that height and width, on a backend."""
    shares = np.sqrt(1 - beta_quantiles(cutmix)) / 2 if cutmix else np.zeros(0)
    reach = np.stack([(shares * side).astype(np.int64) for side in size], axis=1)
    return Mixing(
        classes,
        place.asarray(beta_quantiles(mixup)) if mixup else None,
        place.asarray(reach) if cutmix else None,
    )


def mixed(x: Array, labels: Array, words: Array, how: Mixing) -> tuple[Array, Array]:
    """The images (n, H, W, C) and the targets (n, classes), float32, of a batch, as the words (4,) say."""
    xp, before = array_module(x), _before(x)
    drawn = (words >> 20).astype(xp.int64)
    left: Any = None
    if how.mixup is not None:
        left = how.mixup.take(drawn[1]).astype(accumulation_dtype(x.dtype))
        result = (x * left + before * (1 - left)).astype(x.dtype)
    if how.cutmix is not None:
        inside, rest = _box(words, drawn, how, x.shape[1:3])
        cut = xp.where(inside[:, :, None], before, x)
        choose = words[0] >= xp.uint32(1 << 31)
        result, left = (cut, rest) if left is None else (xp.where(choose, result, cut), xp.where(choose, left, rest))
    own = (labels[:, None] == xp.arange(how.classes)).astype("float32")
    return result, (own * left + _before(own) * (1 - left)).astype("float32")


def _box(words: Array, drawn: Array, how: Mixing, size: tuple[int, ...]) -> tuple[Array, Array]:
    """Which pixels (H, W) the box has, and the share of the others."""
    xp = array_module(words)
    assert how.cutmix is not None
    within, area = [], 1
    for axis, side in enumerate(size):
        center = (words[2 + axis].astype(xp.uint64) * xp.uint64(side) >> xp.uint64(32)).astype(xp.int64)
        half = how.cutmix[:, axis].take(drawn[1])
        position = xp.arange(side)
        within.append((position >= center - half) & (position < center + half))
        area = area * ((center + half).clip(0, side) - (center - half).clip(0, side))
    return within[0][:, None] & within[1], 1 - area / (size[0] * size[1])


def _before(array: Array) -> Array:
    """The one before each row; before the first the last."""
    return array_module(array).roll(array, 1, axis=0)


@functools.cache
def beta_quantiles(alpha: float) -> np.ndarray:
    """The middles of 4,096 equally likely parts of Beta(alpha, alpha), ascending.

    The distribution function up to 1/2 is that of t = x^alpha, whose density (1 - t^(1 / alpha))^(alpha - 1) is smooth
    where x's is not; beyond 1/2 it is symmetric.
    """
    t = np.linspace(0, 0.5**alpha, (1 << 16) + 1)
    density = (1 - t ** (1 / alpha)) ** (alpha - 1)
    below = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    wanted = (np.arange(QUANTILES // 2) + 0.5) / QUANTILES
    low = np.interp(wanted, below * (0.5 / below[-1]), t) ** (1 / alpha)
    return np.concatenate([low, 1 - low[::-1]])
