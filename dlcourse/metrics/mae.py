"""Mean absolute error."""

from dlcourse.metrics.base import Array, ResidualMetric
from dlcourse.registry import register


@register("metric", "mae")
class MeanAbsoluteError(ResidualMetric):
    """Mean absolute error, 1/(N K) sum |y - f(x)|, in the target's own unit: few outliers move it little."""

    title = "mean absolute error"
    unit = "target"

    def of(self, error: Array) -> Array:
        return abs(error)
