"""Balanced accuracy: every class counts alike, however rare it is."""

from typing import Any

import numpy as np

from dlcourse.metrics.class_counts import ClassCounts, recall_of
from dlcourse.registry import register

__all__ = ["BalancedAccuracy"]


@register("metric", "balanced_accuracy")
class BalancedAccuracy(ClassCounts):
    """The mean over the classes of the share of their samples that is classified correctly (their recall).

    Guessing one class always has 1 / C of C classes. A class that no sample is of does not count. As scikit-learn's
    ``balanced_accuracy_score``.
    """

    title = "balanced accuracy"

    def of_counts(self, hits: np.ndarray, predicted: np.ndarray, actual: np.ndarray) -> Any:
        return recall_of(hits, predicted, actual)[actual > 0].mean()
