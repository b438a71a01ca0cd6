"""What the rules look at: a run's history, its metrics, and what guessing would reach."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from dlcourse.records.run import Event

_LABELS = 1_000_000  # about so many are counted at most


@dataclass(frozen=True)
class Guessing:
    """What is reached without looking at the inputs.

    Attributes:
        accuracy: always the commonest class.
        cross_entropy: the classes' shares for every sample, in nats.
        classes: how many there are.
    """

    accuracy: float
    cross_entropy: float
    classes: int

    @classmethod
    def of(cls, labels: np.ndarray) -> "Guessing | None":
        """For these class labels; None where there is one class only."""
        every = -(-labels.size // _LABELS) or 1
        counts = np.bincount(np.ravel(labels[::every]))
        shares = counts[counts > 0] / counts.sum()
        if len(shares) < 2:
            return None
        return cls(float(shares.max()), float(-(shares * np.log(shares)).sum()), len(shares))


@dataclass(frozen=True)
class Evidence:
    """A run that has ended.

    Attributes:
        events: the lines of ``metrics.jsonl``.
        metrics: at the end, by split and label.
        higher_is_better: of each label.
        counts: targets in each split.
        guessing: in a classification.
        stops_early: whether the metrics are of the best weights.
        begins_trained: whether the run began from trained weights.
        images: whether the inputs are images.
        weighted: whether the loss counts classes otherwise than accuracy does.
        normalized: whether the inputs are.
        large_targets: whether a regression's targets are large numbers that nothing scales.
        tests_rates: whether the rate went through all sizes on purpose, as in a range test.
        has_players: whether the loss is the sum of two players' costs, of which one rises as the other falls.
        status: ``done`` or ``diverged``.
    """

    events: Sequence[Event]
    metrics: Mapping[str, Mapping[str, float]]
    higher_is_better: Mapping[str, bool] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    guessing: Guessing | None = None
    stops_early: bool = False
    begins_trained: bool = False
    images: bool = False
    weighted: bool = False
    normalized: bool = False
    large_targets: bool = False
    tests_rates: bool = False
    has_players: bool = False
    status: str = "done"

    @cached_property
    def losses(self) -> np.ndarray:
        """(N, 2): step and loss of each log point, and of each step about a divergence; NaN where it was no finite
        number."""
        kinds = ("train", "divergence")
        rows = {event["step"]: _number(event.get("loss")) for event in self.events if event["event"] in kinds}
        return np.array(sorted(rows.items()), dtype=float).reshape(-1, 2)

    @property
    def steps(self) -> int:
        """How many were taken; 0 where there were no losses, as in a closed form."""
        return int(self.losses[-1, 0]) if len(self.losses) else 0

    @property
    def batch_size(self) -> float:
        """Samples in a step, on average."""
        last = max((event for event in self.events if event["event"] == "train"), key=_step, default=None)
        return last.get("samples", 0) / max(last["step"], 1) if last else 0.0

    @cached_property
    def layers(self) -> list[Mapping[str, Any]]:
        """What ``train.watch`` saw, from the first look to the last."""
        return [event["layers"] for event in self.events if event["event"] == "watch" and event.get("layers")]

    def curve(self, split: str, label: str) -> np.ndarray:
        """(N, 2): epoch and value of a metric at each evaluation."""
        rows = [
            (event.get("epoch", event["step"]), _number(event["metrics"].get(split, {}).get(label)))
            for event in self.events
            if event["event"] == "eval" and "metrics" in event
        ]
        return np.array(rows, dtype=float).reshape(-1, 2)

    def final(self, split: str, label: str) -> float:
        """A metric at the end; NaN where it was not measured, or is no finite number."""
        return _number(self.metrics.get(split, {}).get(label))

    @cached_property
    def labels(self) -> list[str]:
        """What was measured."""
        return list(dict.fromkeys(label for values in self.metrics.values() for label in values))

    def accuracy(self, split: str) -> float:
        """At the end, by ``accuracy`` or ``error``; NaN without either."""
        right = self.final(split, "accuracy")
        return 1 - self.final(split, "error") if np.isnan(right) else right

    def unsure(self, split: str, share: float) -> float:
        """The standard error of a share that was counted in a split."""
        return float(np.sqrt(max(share * (1 - share), 0.0) / max(self.counts.get(split, 1), 1)))


def _step(event: Event) -> int:
    return event["step"]


def _number(value: Any) -> float:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value)
    return float(value) if usable else float("nan")
