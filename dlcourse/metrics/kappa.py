"""Cohen's kappa: agreement beyond chance."""

from typing import Any

import numpy as np

from dlcourse.metrics.class_counts import ClassCounts
from dlcourse.registry import register

__all__ = ["Kappa"]


@register("metric", "kappa")
class Kappa(ClassCounts):
    """Cohen's kappa, (a - e) / (1 - e): the accuracy a beyond that e of guesses drawn with the model's own frequencies.

    e = sum_c p_c q_c, where p_c is the share of samples of class c and q_c the share taken for it. 1 is perfect, 0 is
    chance. Where all samples are of one class and all are taken for it, it is not defined (NaN). As scikit-learn's
    ``cohen_kappa_score``; Cohen 1960.
    """

    title = "Cohen's kappa"

    def of_counts(self, hits: np.ndarray, predicted: np.ndarray, actual: np.ndarray) -> Any:
        samples = actual.sum()
        by_chance = (predicted * actual).sum() / samples  # expected hits
        return (hits.sum() - by_chance) / (samples - by_chance) if samples > by_chance else float("nan")
