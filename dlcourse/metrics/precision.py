"""Precision: how many of the samples that are taken for a class are of it."""

from dlcourse.metrics.class_counts import ClassRate, precision_of
from dlcourse.registry import register

__all__ = ["Precision"]


@register("metric", "precision")
class Precision(ClassRate):
    """Of the samples taken for a class, the share that is of it; averaged over the classes, or of one class.

    A class that nothing is taken for has 0; one that occurs neither among the labels nor the predictions does not
    count. As scikit-learn's ``precision_score(average="macro")``.

    Args:
        average: over the classes: macro, each counts alike; weighted, by how many samples are of it.
        label: the name of a class, to measure that class alone.
    """

    title = "precision"
    rates = staticmethod(precision_of)
