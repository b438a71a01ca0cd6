"""The base of metrics that depend on how samples are ranked by the probability of a class."""

import numpy as np

from dlcourse.backend import array_module, to_host
from dlcourse.metrics.base import Array, Metric
from dlcourse.metrics.class_counts import Average, check_choice, class_index, flattened

__all__ = ["ClassScores", "log_odds"]


class ClassScores(Metric):
    """A metric of the ranking of all samples by the log-odds log p_c / (1 - p_c), p = softmax(logits), against class c
    or not. A subclass gives :meth:`of_ranking`.

    The log-odds rank as the probabilities do and never round to equal ones at 0 and 1. They are kept until
    :meth:`reset`, a number for each sample and class.

    Args:
        average: over the classes: ``macro``, each counts alike; ``weighted``, by how many samples are of it. Without
            it and without a label: of two classes the second alone, of more ``macro``.
        label: the name of a class: the metric of that class alone, against all others.
    """

    higher_is_better = True
    tasks = ("classification",)

    def __init__(self, average: Average | None = None, label: str | int | None = None):
        self.average, self.label = average, label
        super().__init__()

    def check_classes(self, classes: int) -> None:
        check_choice(self.average, self.label, self.class_names, classes)

    def takes_second(self, classes: int) -> bool:
        """Whether it measures the second of two classes, because neither a class nor an average is asked for."""
        return classes == 2 and self.label is None and self.average is None

    def reset(self) -> None:
        self.scores: list[Array] = []
        self.labels: list[Array] = []

    def update(self, outputs: Array, targets: Array) -> None:
        outputs, targets = flattened(outputs, targets)
        self.scores.append(log_odds(outputs))
        self.labels.append(targets.copy())

    def compute(self) -> float:
        """The metric of all batches since :meth:`reset`; NaN where it is not defined for any class."""
        if not self.scores:
            return float("nan")
        scores = np.concatenate([to_host(each) for each in self.scores])
        labels = np.concatenate([to_host(each) for each in self.labels])
        classes = scores.shape[1]
        if self.takes_second(classes):
            return self._of_class(scores, labels, 1)
        if self.label is not None:
            return self._of_class(scores, labels, class_index(self.label, self.class_names, classes))
        values = np.array([self._of_class(scores, labels, c) for c in range(classes)])
        weights = np.bincount(labels, minlength=classes) if self.average == "weighted" else np.ones(classes)
        there = np.isfinite(values) & (weights > 0)
        if not there.any() or np.isnan(scores).any():
            return float("nan")
        return float((values * weights)[there].sum() / weights[there].sum())

    def _of_class(self, scores: np.ndarray, labels: np.ndarray, which: int) -> float:
        own, positive = scores[:, which], labels == which
        return float("nan") if np.isnan(own).any() else self.of_ranking(own, positive)

    def of_ranking(self, scores: np.ndarray, positive: np.ndarray) -> float:
        """The metric of scores (N,) without NaN, the higher the surer, of samples that are positive or not (N,); NaN
        where it is not defined."""
        raise NotImplementedError


def log_odds(logits: Array) -> Array:
    """log p_c / (1 - p_c) of p = softmax(z), which is z_c - log sum_(j != c) exp(z_j), (N, C) in float64.

    Equal rows of logits, in whatever order, have equal log-odds to the last bit.
    """
    xp = array_module(logits)
    shifted = logits.astype("float64")
    shifted -= shifted.max(axis=1, keepdims=True)
    odds = xp.exp(shifted)
    in_order = xp.sort(odds, axis=1)
    rest = in_order[:, :-1].sum(axis=1, keepdims=True)  # without the largest, which is 1
    others = xp.where(odds == 1, rest, 1 + rest - odds)
    with np.errstate(divide="ignore"):
        return shifted - xp.log(others)
