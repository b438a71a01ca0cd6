"""Mean absolute error."""

from dlcourse.metrics.base import Array, Metric, residuals
from dlcourse.registry import register


@register("metric", "mae")
class MeanAbsoluteError(Metric):
    """Mean absolute error, 1/(N K) sum |y - f(x)|, in the target's own unit: few outliers move it little."""

    title = "mean absolute error"
    unit = "target"

    def values(self, outputs: Array, targets: Array) -> Array:
        return abs(residuals(outputs, targets))
