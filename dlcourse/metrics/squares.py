"""Squared errors of a regression: half their sum (the lecture's cost), their mean, and its root."""

import numpy as np

from dlcourse.metrics.base import Array, ResidualMetric
from dlcourse.registry import register


@register("metric", "mse")
class MeanSquaredError(ResidualMetric):
    """Mean squared error, 1/(N K) sum (y - f(x))^2."""

    title = "mean squared error"
    unit = "target^2"

    def of(self, error: Array) -> Array:
        return error * error


@register("metric", "half_sse")
class HalfSumOfSquares(MeanSquaredError):
    """Half the sum of squared errors, 1/2 sum (y - f(x))^2, lecture 2's cost: it grows with the number of samples."""

    title = "half sum of squared errors"

    def finish(self, total: Array, count: int) -> Array:
        return total / 2


@register("metric", "rmse")
class RootMeanSquaredError(MeanSquaredError):
    """Root mean squared error, sqrt(1/(N K) sum (y - f(x))^2), in the target's own unit."""

    title = "root mean squared error"
    unit = "target"

    def finish(self, total: Array, count: int) -> Array:
        return np.sqrt(total / count)
