"""Warnings about what a config asks for, though it may, and about its data."""

from collections.abc import Iterator, Mapping
from typing import Any

from dlcourse import nn
from dlcourse.config.notes import config_notes
from dlcourse.data import Data
from dlcourse.experiment.experiment import Experiment
from dlcourse.metrics.class_scores import ClassScores
from dlcourse.metrics.of_target import MAX_TARGETS
from dlcourse.models.base import Model

__all__ = ["notes"]


def notes(experiment: Experiment) -> Iterator[str]:
    """Warnings about what the config asks for, though it may."""
    data = experiment.data
    yield from config_notes(experiment.config, experiment.total_steps)
    yield from _class_weights(experiment.loss, data)
    yield from _second_class(experiment.metrics, data)
    own, targets = type(experiment.model), len(data.dataset.target_names)
    if targets > MAX_TARGETS:
        yield f"metrics are of all {targets} targets together: each is measured by itself of up to {MAX_TARGETS}"
    overrides = getattr(own, "estimates", Model.estimates) is not Model.estimates
    if data.target_normalizer is not None and overrides and not own.__module__.startswith("dlcourse."):
        yield (
            f"the estimates of the model {experiment.config['model']['name']} are those of the standardized target, "
            "unless it undoes self.target_scaling"
        )


def _class_weights(loss: Any, data: Data) -> Iterator[str]:
    """The weights of the classes in a line, and those that training never sees."""
    weights = getattr(loss, "weights", None)
    if not isinstance(loss, nn.CrossEntropyLoss) or weights is None:
        return
    names = data.dataset.class_names
    shown = [f"{name!r} {weight:.4g}" for name, weight in zip(names, weights, strict=True)]
    yield (
        "class weights, scaled to a mean of 1 over the training split: "
        + ", ".join(shown[:20])
        + (", ..." if len(shown) > 20 else "")
    )
    if loss.class_weights == "balanced" and (weights == 0).any():
        missing = ", ".join(repr(name) for name, weight in zip(names, weights, strict=True) if weight == 0)
        yield f"the training split has no sample of {missing}: weight 0, which the loss of other splits leaves out"


def _second_class(metrics: Mapping[str, Any], data: Data) -> Iterator[str]:
    """Which of two classes is measured where neither a class nor an average is asked for."""
    names = data.dataset.class_names
    found = [
        label for label, each in metrics.items() if isinstance(each, ClassScores) and each.takes_second(len(names))
    ]
    if found:
        yield (
            f"{' and '.join(found)}: of the class {names[1]!r}, the second of two; label: {names[0]} measures the "
            "other, average: macro the mean of both"
        )
