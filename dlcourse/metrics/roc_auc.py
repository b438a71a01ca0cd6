"""The area under the ROC curve."""

import numpy as np

from dlcourse.metrics.class_scores import ClassScores
from dlcourse.registry import register

__all__ = ["ROCAUC"]


@register("metric", "roc_auc")
class ROCAUC(ClassScores):
    """Area under the ROC curve: how probable it is that a sample of a class is given more of it than one of another.

    A tie counts half; chance is 0.5. Of two classes it is that of the second, of more the mean of each against the
    rest. A class that no sample is of, or all are, has none and does not count; without any it is NaN. As
    scikit-learn's ``roc_auc_score(multi_class="ovr")``; Hanley and McNeil 1982.

    Args:
        average: over the classes: macro, each counts alike; weighted, by how many samples are of it. Without it and
            without a label: of two classes the second alone, of more macro.
        label: the name of a class, to measure that class alone, against all others.
    """

    title = "ROC AUC"

    def of_ranking(self, scores: np.ndarray, positive: np.ndarray) -> float:
        own = int(positive.sum())
        others = len(positive) - own
        if not own or not others:
            return float("nan")
        _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
        ranks = np.cumsum(count) - (count - 1) / 2  # of equal scores the mean of their ranks, from 1
        return float((ranks[place][positive].sum() - own * (own + 1) / 2) / (own * others))
