"""The base of metrics that are made of counts by class, and the table of precision, recall and F1 for each."""

from typing import Any, Literal

import numpy as np

from dlcourse.backend import array_module, to_host
from dlcourse.backend.kernels.scatter import scatter_add
from dlcourse.errors import ShapeError, UserError
from dlcourse.metrics.base import Array, Metric, check_classes

__all__ = ["ClassCounts", "ClassRate", "count_classes", "f1_of", "precision_of", "recall_of"]

Average = Literal["macro", "weighted"]


class ClassCounts(Metric):
    """A metric of three counts for each class c, over all batches: samples of c that are taken for c (``hits``),
    samples that are taken for c (``predicted``), and samples of c (``actual``), each (C,).

    A subclass gives :meth:`of_counts`. Of equal outputs the first counts.
    """

    higher_is_better = True
    tasks = ("classification",)

    def reset(self) -> None:
        self.counts: tuple[Array, ...] = ()

    def update(self, outputs: Array, targets: Array) -> None:
        added = count_classes(*flattened(outputs, targets))
        self.counts = tuple(a + b for a, b in zip(self.counts, added, strict=True)) if self.counts else added

    def compute(self) -> float:
        """The metric of all batches since :meth:`reset`; NaN when there were none, or where it is not defined."""
        if not self.counts:
            return float("nan")
        hits, predicted, actual = (to_host(each) for each in self.counts)
        return float(self.of_counts(hits, predicted, actual)) if actual.sum() else float("nan")

    def of_counts(self, hits: np.ndarray, predicted: np.ndarray, actual: np.ndarray) -> Any:
        """The metric."""
        raise NotImplementedError


def count_classes(outputs: Array, labels: Array) -> tuple[Array, Array, Array]:
    """``hits``, ``predicted`` and ``actual`` of each class, see :class:`ClassCounts`, (C,) each, from logits (N, C) and
    labels (N,) below C."""
    classes, xp = outputs.shape[1], array_module(outputs)
    guess, one = outputs.argmax(axis=1), xp.ones(len(labels), dtype="float64")  # counts in float64 are exact
    hits = scatter_add((guess == labels).astype("float64"), labels, (classes,))
    return hits, scatter_add(one, guess, (classes,)), scatter_add(one, labels, (classes,))


class ClassRate(ClassCounts):
    """A rate of each class, averaged over classes, or that of one class. A subclass gives :meth:`rates`.

    Args:
        average: over the classes that occur among the labels or the predictions: ``macro``, each class counts alike, or
            ``weighted``, by how many samples are of it.
        label: the name of a class: the rate of that class alone.
    """

    def __init__(self, average: Average = "macro", label: str | int | None = None):
        self.average, self.label = average, label
        super().__init__()

    def check_classes(self, classes: int) -> None:
        check_choice(self.average, self.label, self.class_names, classes)

    def of_counts(self, hits: np.ndarray, predicted: np.ndarray, actual: np.ndarray) -> Any:
        rates = self.rates(hits, predicted, actual)
        if self.label is not None:
            return rates[class_index(self.label, self.class_names, len(rates))]
        there = predicted + actual > 0
        weights = np.ones(len(rates)) if self.average == "macro" else actual
        return (rates * weights)[there].sum() / weights[there].sum()

    def rates(self, hits: np.ndarray, predicted: np.ndarray, actual: np.ndarray) -> np.ndarray:
        """Of each class, (C,)."""
        raise NotImplementedError


def precision_of(hits: np.ndarray, predicted: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """hits / predicted, of each class; 0 where nothing is taken for it."""
    return hits / np.maximum(predicted, 1)


def recall_of(hits: np.ndarray, predicted: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """hits / actual, of each class; 0 where no sample is of it."""
    return hits / np.maximum(actual, 1)


def f1_of(hits: np.ndarray, predicted: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """2 hits / (predicted + actual), of each class; 0 where it never occurs."""
    return 2 * hits / np.maximum(predicted + actual, 1)


def class_index(label: str | int | None, names: tuple[str, ...], classes: int) -> int:
    """The place of a class; -1 for None. Its name counts where names are known, else its number from 0.

    Raises:
        UserError: there is no such class.
    """
    if label is None:
        return -1
    known = names or tuple(str(c) for c in range(classes))
    if str(label) not in known:
        shown = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
        raise UserError(f"there is no class {label!r}; the classes are: {shown}")
    return known.index(str(label))


def check_choice(average: Average | None, label: str | int | None, names: tuple[str, ...], classes: int) -> None:
    """Raise UserError where there is no such class, or an average over classes is asked for as well."""
    class_index(label, names, classes)
    if label is not None and average not in (None, "macro"):
        raise UserError(
            f"label {label!r} measures that class alone, so there is no average: {average}; give one of them"
        )


def flattened(outputs: Array, targets: Array) -> tuple[Array, Array]:
    """Logits (N, C) and labels (N,), checked; each element of a sequence (N, T, C) is a sample.

    Raises:
        ShapeError: they do not belong together, or a label is none of the C classes (asked on the host only).
    """
    if outputs.ndim == 3 and targets.shape == outputs.shape[:2]:
        outputs, targets = outputs.reshape(-1, outputs.shape[2]), targets.reshape(-1)
    check_classes(outputs, targets)
    if isinstance(targets, np.ndarray) and targets.size and not 0 <= targets.min() <= targets.max() < outputs.shape[1]:
        last = outputs.shape[1] - 1
        raise ShapeError(f"expected labels in 0..{last}, came {targets.min()}..{targets.max()}")
    return outputs, targets
