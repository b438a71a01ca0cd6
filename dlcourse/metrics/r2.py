"""The share of the targets' variance that a regression explains."""

import numpy as np

from dlcourse.backend import array_module
from dlcourse.metrics.base import Array, Metric, as_rows, residuals
from dlcourse.registry import register


@register("metric", "r2")
class R2(Metric):
    """Share of the variance explained, 1 - sum (y - f(x))^2 / sum (y - mean y)^2, averaged over the K outputs.

    The mean is that of the targets judged. 1 is perfect, 0 is what their mean would score, below 0 is worse than that.
    An output whose targets are all equal scores 1 if it is met exactly, else 0; one sample alone has no score (NaN).
    """

    title = "R²"
    higher_is_better = True

    def reset(self) -> None:
        self.count = 0
        self.origin: Array = 0.0
        self.error: Array = 0.0
        self.mean: Array = 0.0
        self.spread: Array = 0.0

    def update(self, outputs: Array, targets: Array) -> None:
        outputs, targets = as_rows(outputs, targets)
        error = residuals(outputs, targets)  # (N, K)
        batch = len(error)
        if batch == 0:
            return
        if self.count == 0:
            self.origin = targets[0].astype("float64")
        # Means and sums of squares about them are merged (Chan, Golub, LeVeque 1979): a plain sum of squares minus
        # the squared sum cancels where the mean is large against the spread. Counted from the first target, equal
        # targets have a spread of exactly zero.
        shifted = targets - self.origin
        mean = shifted.mean(axis=0)
        deviation = shifted - mean
        step = mean - self.mean
        total = self.count + batch
        self.spread = self.spread + (deviation * deviation).sum(axis=0) + step * step * (self.count * batch / total)
        self.mean = self.mean + step * (batch / total)
        self.error = self.error + (error * error).sum(axis=0)
        self.count = total

    def compute(self) -> float:
        if self.count < 2:
            return float("nan")
        return float(_scores(self.error, self.spread).mean())

    def compute_many(self, errors: Array, targets: Array) -> Array:
        if targets.shape[1] < 2:
            return np.full((len(errors), errors.shape[3]), np.nan)
        shifted = targets - targets[:, :1]
        spread = ((shifted - shifted.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)[:, :, None]  # (G, K, 1)
        return _scores(np.einsum("gnkp,gnkp->gkp", errors, errors), spread).mean(axis=1)


def _scores(error: Array, spread: Array) -> Array:
    """1 - error / spread; without spread 1 where there is no error, else 0."""
    xp = array_module(spread)
    constant = spread == 0
    return xp.where(constant, (error == 0).astype("float64"), 1 - error / xp.where(constant, 1.0, spread))
