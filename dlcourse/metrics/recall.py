"""Recall: how many of the samples of a class are found."""

from dlcourse.metrics.class_counts import ClassRate, recall_of
from dlcourse.registry import register

__all__ = ["Recall"]


@register("metric", "recall")
class Recall(ClassRate):
    """Of the samples of a class, the share that is taken for it; averaged over the classes, or of one class.

    A class that no sample is of has 0 if something is taken for it, else it does not count; balanced_accuracy leaves
    out both. Weighted it is the accuracy. As scikit-learn's ``recall_score(average="macro")``.

    Args:
        average: over the classes: macro, each counts alike; weighted, by how many samples are of it.
        label: the name of a class, to measure that class alone.
    """

    title = "recall"
    rates = staticmethod(recall_of)
