"""A metric of one of several targets."""

from collections.abc import Mapping, Sequence
from typing import Any

from dlcourse.metrics.base import Array
from dlcourse.text import metric_unit

MAX_TARGETS = 20
"""Of more targets none is measured by itself: the tables would be long."""


class OfTarget:
    """Measures one column of outputs and targets, under the face of a :class:`~dlcourse.metrics.Metric`.

    Args:
        metric: judges (N, 1) outputs, or (N, 2) means and log standard deviations, and (N, 1) targets.
        index: of the target, from 0.
        unit: of the target.
    """

    def __init__(self, metric: Any, index: int, unit: str = ""):
        self.metric, self.index = metric, index
        self.higher_is_better, self.unit = metric.higher_is_better, metric_unit(metric.unit, unit)

    def reset(self) -> None:
        """Forget all batches."""
        self.metric.reset()

    def update(self, outputs: Array, targets: Array) -> None:
        """Take in a batch: outputs (..., K) or (..., 2 K), targets (..., K)."""
        count, own = targets.shape[-1], slice(self.index, self.index + 1)
        # Of means and log standard deviations every K-th number belongs to the target.
        of_outputs = own if outputs.shape[-1] == count else slice(self.index, None, count)
        self.metric.update(outputs[..., of_outputs], targets[..., own])

    def compute(self) -> float:
        """The metric of all batches since :meth:`reset`."""
        return float(self.metric.compute())


def for_each_target(metrics: Mapping[str, Any], targets: Sequence[tuple[str, str]], build: Any) -> dict[str, Any]:
    """Each metric, followed by that of each target, ``r2[rent]``; none of these where there is one target, or many.

    Args:
        metrics: by label.
        targets: name and unit of each.
        build: ``build(label)`` gives another metric like the one of that label.
    """
    found: dict[str, Any] = {}
    for label, metric in metrics.items():
        found[label] = metric
        if 1 < len(targets) <= MAX_TARGETS:
            found |= {f"{label}[{name}]": OfTarget(build(label), i, unit) for i, (name, unit) in enumerate(targets)}
    return found
