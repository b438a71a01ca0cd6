"""Average precision: the precision-recall curve in one number."""

import numpy as np

from dlcourse.metrics.class_scores import ClassScores
from dlcourse.registry import register

__all__ = ["AveragePrecision"]


@register("metric", "average_precision")
class AveragePrecision(ClassScores):
    """sum_k (R_k - R_(k-1)) P_k over the thresholds, from the highest score down: precision weighted by recall gained.

    Chance is the share of the class. Of two classes it is that of the second, of more the mean of each against the
    rest. Samples of one score come in together. A class that no sample is of has none and does not count; without any
    it is NaN. As scikit-learn's ``average_precision_score``, which gives 0 for such a class.

    Args:
        average: over the classes: macro, each counts alike; weighted, by how many samples are of it. Without it and
            without a label: of two classes the second alone, of more macro.
        label: the name of a class, to measure that class alone, against all others.
    """

    title = "average precision"

    def of_ranking(self, scores: np.ndarray, positive: np.ndarray) -> float:
        own = int(positive.sum())
        if not own:
            return float("nan")
        _, place, count = np.unique(-scores, return_inverse=True, return_counts=True)
        gained = np.bincount(place, positive, minlength=len(count))
        precision = np.cumsum(gained) / np.cumsum(count)
        return float((gained * precision).sum() / own)
