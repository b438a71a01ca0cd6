"""F1: the harmonic mean of precision and recall."""

from dlcourse.metrics.class_counts import ClassRate, f1_of
from dlcourse.registry import register

__all__ = ["F1"]


@register("metric", "f1")
class F1(ClassRate):
    """2 P R / (P + R) of precision P and recall R of a class; averaged over the classes, or of one class.

    A class that is never hit has 0; one that occurs neither among the labels nor the predictions does not count. As
    scikit-learn's ``f1_score(average="macro")``.

    Args:
        average: over the classes: macro, each counts alike; weighted, by how many samples are of it.
        label: the name of a class, to measure that class alone.
    """

    title = "F1"
    rates = staticmethod(f1_of)
