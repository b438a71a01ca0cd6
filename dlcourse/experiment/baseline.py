"""What a model that ignores its inputs scores: always the most frequent class, or the mean, of the training split."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlcourse import nn
from dlcourse.backend import get, use
from dlcourse.data import Data
from dlcourse.experiment.experiment import Experiment
from dlcourse.metrics.class_counts import count_classes, recall_of
from dlcourse.records.run import BaselineState
from dlcourse.text import SPLITS
from dlcourse.training.evaluation import LossMetric
from dlcourse.training.summary import class_table

__all__ = ["Baseline", "Judgement", "baseline_of", "judge", "no_better"]

MAX_CLASSES = 10
"""Of more classes the terminal shows no table: the report has one."""

_CHUNK = 1 << 18  # numbers of outputs measured at a time
_ERRORS = 2.0
"""Within so many standard errors a difference is noise."""
_GAIN = 0.1
"""A regression that takes off more than this share of the mean's squared error is not called useless, however few the
samples."""


@dataclass(frozen=True)
class Baseline:
    """The model that gives every input the same outputs.

    Attributes:
        outputs: (C,) log shares of the classes in the training split (-inf for one that is not there), of which the
            largest is the guess; (K,) means of the training targets; (2 K,) with their log standard deviations, where
            the model gives those too.
        guess: in words: ``'cat'``, ``the mean``.
    """

    outputs: np.ndarray
    guess: str
    classes: bool

    @property
    def words(self) -> str:
        """What it does, in a sentence's part."""
        of = ", the most frequent class of the training split" if self.classes else " of the training targets"
        return f"always {self.guess}{of}"

    def measure(self, y: np.ndarray, metrics: Mapping[str, Any]) -> dict[str, float]:
        """Its metrics of targets (N, K) or (N, T, K), or labels (N,) or (N, T), by label; without one that cannot
        judge it."""
        labels = y.reshape(-1) if self.classes else y.reshape(-1, y.shape[-1])
        rows = max(1, _CHUNK // len(self.outputs))
        metrics = {label: each for label, each in metrics.items() if _judges(each)}
        found = {}
        with use(get("cpu")):
            for label, metric in metrics.items():
                try:
                    metric.reset()
                    for start in range(0, len(labels), rows):
                        part = labels[start : start + rows]
                        metric.update(np.tile(self.outputs, (len(part), 1)), part)
                    found[label] = metric.compute()
                except Exception:  # a metric of a plugin may expect what only its model gives
                    continue
                finally:
                    metric.reset()
        return found

    def state(self, split: str, metrics: dict[str, float], note: str) -> BaselineState:
        """For ``result.json``."""
        outputs = [float(value) if np.isfinite(value) else None for value in self.outputs]
        return {
            "split": split,
            "words": self.words,
            "guess": self.guess,
            "outputs": outputs,
            "metrics": dict(metrics),
            "note": note,
        }

    @classmethod
    def of_state(cls, state: Mapping[str, Any], classes: bool) -> "Baseline":
        """That of a run, as :meth:`state` wrote it."""
        outputs = [-np.inf if value is None else value for value in state["outputs"]]
        return cls(np.array(outputs, dtype=float), state["guess"], classes)


@dataclass(frozen=True)
class Judgement:
    """A model beside its baseline, on the split that says most.

    Attributes:
        baseline: for ``result.json``.
        classes: a table of the classes, where these are few.
    """

    baseline: BaselineState
    classes: str

    @property
    def scores(self) -> dict[str, float]:
        """The baseline's metrics, by label."""
        return {label: float("nan") if value is None else value for label, value in self.baseline["metrics"].items()}

    def texts(self) -> Iterator[str]:
        """What the end of a run says beside the metrics."""
        if self.classes:
            yield self.classes
        if self.baseline["note"]:
            yield f"note: {self.baseline['note']}"


def judge(experiment: Experiment, arrays: Mapping[str, np.ndarray]) -> Judgement | None:
    """Set a trained model beside its baseline; None where nothing is predicted, or no split was measured.

    Args:
        arrays: ``test_y``, ``test_output`` and so on: the targets and outputs of the first samples of each split.
    """
    split = next((split for split in reversed(SPLITS) if f"{split}_output" in arrays), None)
    if split is None:
        return None
    data, y, outputs = experiment.data, arrays[f"{split}_y"], arrays[f"{split}_output"]
    baseline = baseline_of(data, outputs.shape[1])
    if baseline is None:
        return None
    found = baseline.measure(data.splits[split].y, experiment.metrics)
    names = data.dataset.class_names
    table = ""
    if baseline.classes and len(names) <= MAX_CLASSES and outputs.shape[1] == len(names):
        all_of_it = len(y) == data.splits[split].y.size
        of = f"{split} split" if all_of_it else f"first {len(y):,} samples of the {split} split"
        table = f"classes of the {of}\n{class_table(names, *count_classes(outputs, y))}"
    weighted = getattr(experiment.loss, "class_weights", None) is not None
    state = baseline.state(split, found, no_better(baseline, y, outputs, split, weighted))
    if unseen := _unseen(baseline, data.splits[split].y, names) if np.inf in found.values() else "":
        state["words"] += f"; it gives no share to {unseen}, which the training split lacks: inf"
    return Judgement(state, table)


def _unseen(baseline: Baseline, y: np.ndarray, names: Sequence[str]) -> str:
    """A class among these labels that the training split does not have."""
    known = np.flatnonzero(np.isfinite(baseline.outputs))
    return next((repr(names[each]) for each in np.setdiff1d(y, known)), "") if baseline.classes else ""


_PLAIN = (nn.CrossEntropyLoss, nn.GaussianLikelihoodLoss, nn.HalfSSELoss, nn.MSELoss) + (
    nn.L1Loss,
    nn.SmoothL1Loss,
    nn.HuberLoss,
)
"""Losses to which a mean, or the logarithms of the classes' shares, are outputs like any other."""


def _judges(metric: Any) -> bool:
    """Whether the baseline's outputs mean to a metric what the model's do: not to the loss of a support vector machine,
    or one of a plugin's."""
    return not isinstance(metric, LossMetric) or type(metric.loss_fn) in _PLAIN


def baseline_of(data: Data, width: int) -> Baseline | None:
    """The baseline of a data set; None where nothing is predicted.

    Args:
        width: how many outputs the model has.
    """
    y = data.splits["train"].y
    with np.errstate(divide="ignore"):
        if data.task == "classification":
            counts = np.bincount(y.reshape(-1), minlength=max(width, data.out_features)).astype(float)
            tokenizer, most = data.dataset.tokenizer, counts.argmax()
            guess = data.dataset.class_names[most] if tokenizer is None else tokenizer.decode(np.array([most]))
            return Baseline(np.log(counts / counts.sum()), repr(guess)[:40], True)
        if data.task != "regression":
            return None
        y = y.reshape(-1, y.shape[-1])  # of a sequence, each step is a sample
        mean = y.mean(axis=0, dtype=np.float64)
        both = width == 2 * y.shape[1]
        spread = [np.log(y.std(axis=0, dtype=np.float64))] if both else []
        return Baseline(np.concatenate([mean, *spread]), "the mean", False)


def no_better(baseline: Baseline, y: np.ndarray, outputs: np.ndarray, split: str, weighted: bool = False) -> str:
    """A sentence where a model does no better than the baseline, as far as so many samples can tell; else empty.

    A classifier is no better if neither the samples that only one of both has right (McNemar) nor the mean of the
    classes' recalls speak for it by two standard errors; a regression, if the mean difference of the squared errors
    does not, and is less than a tenth of the baseline's.

    Args:
        y: (N,) labels, or (N, K) targets.
        outputs: the model's, (N, C), or (N, K) or (N, 2 K).
        weighted: the loss weighs the classes, which gives up accuracy for the rare ones: whatever the mean of the
            recalls is above that of guessing speaks for the model.
    """
    if not len(y) or not np.isfinite(outputs).all():
        return ""
    if baseline.classes:
        return _guesses(baseline, y, outputs, split, weighted)
    width = y.shape[1]
    scale = np.maximum(((y - baseline.outputs[:width]) ** 2).mean(axis=0), np.finfo(float).tiny)
    own = ((y - outputs[:, :width]) ** 2 / scale).mean(axis=1)
    gain = ((y - baseline.outputs[:width]) ** 2 / scale).mean(axis=1) - own
    error = gain.std(ddof=1) / len(y) ** 0.5 if len(y) > 1 else 0.0
    if gain.mean() > min(_ERRORS * error, _GAIN):
        return ""
    over = ", over all targets," if width > 1 else ""
    return (
        f"no better than always guessing the mean: the root mean square error of the {split} samples{over} is "
        f"{own.mean() ** 0.5:.4g} times as large as the mean's"
    )


def _guesses(baseline: Baseline, y: np.ndarray, outputs: np.ndarray, split: str, weighted: bool) -> str:
    right, lucky = outputs.argmax(axis=1) == y, baseline.outputs.argmax() == y
    if right.all():
        return ""
    only, lost = int((right & ~lucky).sum()), int((lucky & ~right).sum())
    if only - lost > _ERRORS * (only + lost) ** 0.5:
        return ""
    hits, predicted, actual = count_classes(outputs, y)
    there = actual > 0
    recalls = recall_of(hits, predicted, actual)[there]
    error = np.sqrt((recalls * (1 - recalls) / actual[there]).sum()) / len(recalls)
    if recalls.mean() - 1 / len(recalls) > max(0.0 if weighted else _ERRORS * error, 1e-9):
        return ""
    same = " (it does guess nothing else)" if only == lost == 0 and len(np.unique(outputs.argmax(axis=1))) == 1 else ""
    few = f"; {len(y)} samples are too few to tell" if right.mean() > lucky.mean() else ""
    return (
        f"no better than always guessing {baseline.guess}{same}: {right.mean():.3g} of the {split} samples are right, "
        f"{lucky.mean():.3g} by that guess{few}"
    )
