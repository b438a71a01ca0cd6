"""Metrics of what a model draws: whether it is like the data, and whether all of the data's classes are among it."""

from typing import Any

import numpy as np

from dlcourse.metrics.base import Metric
from dlcourse.registry import register
from dlcourse.types import Fraction, Positive

__all__ = ["DrawnMetric", "GoodShare", "ModesFound"]


class DrawnMetric(Metric):
    """Base of the metrics of inputs that a model has drawn; a subclass gives :meth:`measure`.

    They are drawn from one seed, as many as a split has samples, at each evaluation.
    """

    of_drawn = True
    tasks = ("classification",)
    higher_is_better = True

    def reset(self) -> None:
        self.found = float("nan")

    def judge(self, drawn: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
        """Take in the drawn inputs (N, *in_shape), and those of the split (M, *in_shape) with their classes (M,)."""
        self.found = float(self.measure(drawn, x, y))

    def measure(self, drawn: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
        """The metric of arrays in float64, as the model has them: normalized where the config says so."""
        raise NotImplementedError

    def update(self, outputs: Any, targets: Any) -> None:
        """Nothing: it is not the outputs that are judged."""

    def compute(self) -> float:
        return self.found


@register("metric", "good_share")
class GoodShare(DrawnMetric):
    """The share of drawn points that are good: within so many standard deviations of the mean of a class.

    The standard deviation is the class's own, the root of its mean square over all numbers of a point. Of classes that
    are round clouds in the plane nearly all samples, 98.9 %, lie within three. (Srivastava et al. 2017, "VEEGAN".)

    Args:
        within: how many standard deviations.
    """

    title = "share of good samples"

    def __init__(self, within: Positive = 3.0):
        self.within = within
        super().__init__()

    def measure(self, drawn: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
        return self.goods(drawn, x, y).sum() / len(drawn)

    def goods(self, drawn: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """How many good points lie nearest to the mean of each class, (C,)."""
        drawn, x = drawn.reshape(len(drawn), -1), x.reshape(len(x), -1)
        classes = [x[y == label] for label in np.unique(y)]
        means = [own.mean(axis=0) for own in classes]
        spreads = np.array([np.sqrt(((own - mean) ** 2).mean()) for own, mean in zip(classes, means, strict=True)])
        far = np.stack([np.sqrt(((drawn - mean) ** 2).sum(axis=1)) for mean in means], axis=1)  # (N, C)
        nearest = far.argmin(axis=1)
        good = far[np.arange(len(drawn)), nearest] <= self.within * spreads[nearest]
        return np.bincount(nearest[good], minlength=len(classes))


@register("metric", "modes_found")
class ModesFound(GoodShare):
    """How many of the classes a model draws: those that have a share of the drawn points which are good, see
    ``good_share``.

    Args:
        within: how many standard deviations from the mean of a class are good.
        share: of all drawn points; of less than that a class counts as missed.
    """

    title = "modes found"

    def __init__(self, within: Positive = 3.0, share: Fraction = 0.01):
        self.share = share
        super().__init__(within)

    def measure(self, drawn: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
        return float((self.goods(drawn, x, y) >= max(1, self.share * len(drawn))).sum())
