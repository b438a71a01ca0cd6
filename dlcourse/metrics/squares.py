"""Squared errors of a regression: half their sum (the lecture's cost), their mean, and its root."""

import math

from dlcourse.metrics.base import Array, Metric, residuals
from dlcourse.registry import register


@register("metric", "mse")
class MeanSquaredError(Metric):
    """Mean squared error, 1/(N K) sum (y - f(x))^2."""

    title = "mean squared error"
    unit = "target^2"

    def values(self, outputs: Array, targets: Array) -> Array:
        error = residuals(outputs, targets)
        error *= error
        return error


@register("metric", "half_sse")
class HalfSumOfSquares(MeanSquaredError):
    """Half the sum of squared errors, 1/2 sum (y - f(x))^2, lecture 2's cost: it grows with the number of samples."""

    title = "half sum of squared errors"

    def compute(self) -> float:
        return float(self.total) / 2 if self.count else float("nan")


@register("metric", "rmse")
class RootMeanSquaredError(MeanSquaredError):
    """Root mean squared error, sqrt(1/(N K) sum (y - f(x))^2), in the target's own unit."""

    title = "root mean squared error"
    unit = "target"

    def compute(self) -> float:
        return math.sqrt(super().compute())
