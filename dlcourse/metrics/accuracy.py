"""Accuracy, error and top-k accuracy: shares of correctly classified samples."""

from dlcourse.backend import array_module
from dlcourse.errors import UserError
from dlcourse.metrics.base import Array, Metric, as_rows, check_classes
from dlcourse.registry import register
from dlcourse.types import Count


@register("metric", "accuracy")
class Accuracy(Metric):
    """The share of samples whose largest output is that of their class; of equal outputs the first counts."""

    higher_is_better = True
    tasks = ("classification",)

    def values(self, outputs: Array, targets: Array) -> Array:
        check_classes(outputs, targets)
        return outputs.argmax(axis=1) == targets


@register("metric", "sequence_accuracy")
class SequenceAccuracy(Metric):
    """The share of sequences in which the largest output of every step is that of its class."""

    higher_is_better = True
    tasks = ("classification",)

    def update(self, outputs: Array, targets: Array) -> None:
        check_classes(*as_rows(outputs, targets))
        right = (outputs.argmax(axis=-1) == targets).reshape(len(targets), targets[:1].size).all(axis=1)
        self.total, self.count = self.total + right.sum(dtype="float64"), self.count + len(right)


@register("metric", "error")
class ErrorRate(Metric):
    """The share of samples classified wrongly, 1 - accuracy."""

    title = "error rate"
    tasks = ("classification",)

    def values(self, outputs: Array, targets: Array) -> Array:
        check_classes(outputs, targets)
        return outputs.argmax(axis=1) != targets


@register("metric", "top_k")
class TopK(Metric):
    """The share of samples whose class is among the k with the largest outputs; of equal outputs the first count.

    Args:
        k: how many classes a sample may name.
    """

    title = "top-k accuracy"
    higher_is_better = True
    tasks = ("classification",)

    def __init__(self, k: Count = 5):
        self.k = k
        super().__init__()

    def check_classes(self, classes: int) -> None:
        if self.k > classes:
            raise UserError(f"metric top_k: k = {self.k} is more than the {classes} classes; give a smaller k")

    def values(self, outputs: Array, targets: Array) -> Array:
        check_classes(outputs, targets)
        classes = outputs.shape[1]
        self.check_classes(classes)
        xp = array_module(outputs)
        own = outputs[xp.arange(len(targets)), targets][:, None]  # (N, 1)
        # "not below or equal" rather than "above": an output that is NaN must not put a class first.
        above = ~(outputs <= own)
        equal_before = (outputs == own) & (xp.arange(classes) < targets[:, None])
        return (above | equal_before).sum(axis=1) < self.k
