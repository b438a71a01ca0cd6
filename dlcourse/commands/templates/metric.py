"""A metric of one's own.

    dlcourse check FILE                     every property below, with numbers
    dlcourse run spirals.yaml --plugin FILE metrics='[accuracy, my_metric]'

(`dlcourse init spirals` copies that config. In a config of yours, `plugins: [FILE]` and --allow-code do the same.)

The contract: values(outputs, targets) gives one value for each sample; the metric is their mean over all batches.
outputs are (N, C) logits or (N, K) predictions, targets (N,) labels or (N, K) numbers: raw arrays, NumPy's or CuPy's,
which are not changed. One that is no mean writes update, compute and reset; batches may have any size, also none, and
cutting them otherwise changes nothing. The attributes say which data it can judge and how tables call it.
"""

from typing import Any

from dlcourse.backend import array_module
from dlcourse.metrics.base import Metric, check_classes
from dlcourse.registry import register
from dlcourse.types import NonNegative


@register("metric", "my_metric")
class MyMetric(Metric):
    """The share of samples whose own class is ahead of all others by a margin.

    Args:
        margin: by how much the logit of the sample's class has to exceed the others.
    """

    title = "share with a margin"
    higher_is_better = True
    unit = ""
    tasks = ("classification",)

    def __init__(self, margin: NonNegative = 1.0):
        self.margin = margin
        super().__init__()

    def values(self, outputs: Any, targets: Any) -> Any:
        check_classes(outputs, targets)
        xp = array_module(outputs)
        rows = xp.arange(len(targets))
        others = outputs.copy()
        others[rows, targets] = -xp.inf
        return outputs[rows, targets] >= others.max(axis=1) + self.margin
