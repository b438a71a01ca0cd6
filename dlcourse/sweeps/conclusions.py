"""The conclusions of a sweep: means over folds, the best setting by validation, the simplest one that is as good."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dlcourse.records.sweep import REPEATS, AxisState, Choice, GroupState, PointState
from dlcourse.sweeps.expansion import without
from dlcourse.sweeps.statistics import Summary, best_index, one_standard_error, summarize
from dlcourse.text import canonical, format_value

SPLIT_NAMES = {"train": "training", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class Selection:
    """By which number the best setting is chosen."""

    metric: str
    split: str
    higher_is_better: bool

    @property
    def key(self) -> str:
        """As in a point's metrics: ``val.half_sse``."""
        return f"{self.split}.{self.metric}"

    @property
    def words(self) -> str:
        """As a reader says it: ``validation half_sse``."""
        return f"{SPLIT_NAMES.get(self.split, self.split)} {self.metric}"


@dataclass(frozen=True)
class Candidate:
    """One setting that can be chosen: a point, or a group of points that repeat it."""

    overrides: dict[str, Any]
    points: tuple[PointState, ...]

    @property
    def complete(self) -> bool:
        """Whether every repetition came to its end."""
        return all(point.status == "done" for point in self.points)

    @property
    def parameters(self) -> int | None:
        """The largest number of model parameters among the points."""
        return max((point.parameters for point in self.points if point.parameters is not None), default=None)

    def summaries(self) -> dict[str, Summary]:
        """Mean and standard error of each metric over the repetitions that came to their end."""
        return summaries([point.metrics for point in self.points if point.status == "done"])


def summaries(metrics: Iterable[Mapping[str, float | None]]) -> dict[str, Summary]:
    """Mean and standard error of each metric over repetitions, where it is a number."""
    values: dict[str, list[float]] = {}
    for each in metrics:
        for key, value in each.items():
            if value is not None:
                values.setdefault(key, []).append(value)
    return {key: summarize(found) for key, found in values.items()}


def candidates(points: Sequence[PointState]) -> list[Candidate]:
    """The settings of a sweep in order of their first point."""
    grouped: dict[str, list[PointState]] = {}
    for point in points:
        grouped.setdefault(canonical(without(point.overrides, REPEATS)), []).append(point)
    return [Candidate(without(group[0].overrides, REPEATS), tuple(group)) for group in grouped.values()]


def status_of_all(statuses: Sequence[str]) -> str:
    """``done``, or how many of the repetitions are not: ``2 of 5 diverged``."""
    other = next((status for status in statuses if status != "done"), None)
    return f"{statuses.count(other)} of {len(statuses)} {other}" if other else "done"


def has_repeats(points: Sequence[PointState]) -> bool:
    """Whether folds or seeds repeat the settings."""
    return any(path in point.overrides for point in points for path in REPEATS)


def group_records(settings: Sequence[Candidate]) -> list[GroupState]:
    """The ``groups`` of ``sweep.json``."""
    return [
        {
            "overrides": candidate.overrides,
            "points": [point.id for point in candidate.points],
            "complete": candidate.complete,
            "parameters": candidate.parameters,
            "mean": {key: summary.mean for key, summary in found.items()},
            "sd": {key: summary.sd for key, summary in found.items()},
            "se": {key: summary.se for key, summary in found.items()},
            "n": {key: summary.n for key, summary in found.items()},
        }
        for candidate, found in ((each, each.summaries()) for each in settings)
    ]


def choose(settings: Sequence[Candidate], selection: Selection) -> tuple[int | None, int | None]:
    """Indices of the best setting and of the simplest within one standard error of it, each None where there is none.

    A setting with a repetition that diverged or failed, or in which the metric is infinite or NaN where it is a number
    for other settings, is not chosen: its mean would leave out the worst of it.
    """
    found = [c.summaries().get(selection.key) if c.complete else None for c in settings]
    missing = [len(c.points) - (each.n if each else 0) for c, each in zip(settings, found, strict=True)]
    found = [summary if lacking == min(missing) else None for summary, lacking in zip(found, missing, strict=True)]
    means = [None if summary is None else summary.mean for summary in found]
    best = best_index(means, selection.higher_is_better)
    keys = [complexity(candidate.overrides, candidate.parameters) for candidate in settings]
    return best, one_standard_error(found, keys, selection.higher_is_better)


# How a parameter that leaves the number of weights alone acts on a model's freedom, by the last name of its path:
# -1 where more of it holds the model back, +1 where more of it lets the model follow the training data further.
_FREEDOM = {"ridge": -1, "l1": -1, "l2": -1, "weight_decay": -1, "dropout": -1, "k": -1, "epochs": 1, "steps": 1}


def complexity(overrides: Mapping[str, Any], parameters: int | None) -> tuple[float, ...]:
    """How complex a setting is, as a sortable key: the number of fitted parameters, then the strength of what holds
    the model back (ridge, l1, l2, weight_decay, dropout, k neighbors: more is simpler) or lets it go (epochs, steps).

    So a lower degree is simpler because it has fewer coefficients, and of one degree the larger ridge is simpler. A
    learning rate is neither, and does not count.
    """
    key = [float(parameters or 0)]
    for path, value in overrides.items():
        sign = _FREEDOM.get(path.rsplit(".", 1)[-1])
        if sign is not None and isinstance(value, int | float) and not isinstance(value, bool):
            key.append(sign * float(value))
    return tuple(key)


def choice_record(candidate: Candidate, selection: Selection) -> Choice:
    """The ``best`` or ``one_standard_error`` of ``sweep.json``."""
    summary = candidate.summaries()[selection.key]
    return {
        "overrides": candidate.overrides,
        "points": [point.id for point in candidate.points],
        "metric": selection.metric,
        "split": selection.split,
        "value": summary.mean,
        "sd": summary.sd,
        "se": summary.se,
        "n": summary.n,
    }


def remarks(
    settings: Sequence[Candidate], best: int | None, selection: Selection, axes: Sequence[AxisState]
) -> list[str]:
    """What the best setting leaves open: others that are as good, and axes at whose end it lies."""
    if best is None or len(settings) < 2:
        return []
    means = [each.summaries().get(selection.key) if each.complete else None for each in settings]
    value = settings[best].summaries()[selection.key].mean
    equal = [each for each, found in zip(settings, means, strict=True) if found and math.isclose(found.mean, value)]
    others = [each for each in equal if each is not settings[best]]
    found = []
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        found.append(f"as good as the best: {setting_words(others[0].overrides)}{more}; of equals the first is named")
    for axis in axes:
        path = axis["path"]
        values = sorted({number for each in axis["values"] if (number := _one_number(each)) is not None})
        if axis["kind"] not in ("grid", "zip") or path.startswith("data.") or len(values) < _TRIED:
            continue
        for end, which in ((values[0], "least"), (values[-1], "largest")):
            there = all(_one_number(each.overrides.get(path)) == end for each in equal)
            if there and (which == "largest" or end > (1 if isinstance(end, int) else 0)):  # often there is none below
                found.append(f"the {which} {path} that was tried, {format_value(end)}, is best: try beyond it")
    return found


def _one_number(value: Any) -> int | float | None:
    """A number, alone or in a list, as the widths of one hidden layer; None for anything else."""
    value = value[0] if isinstance(value, list) and len(value) == 1 else value
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


_TRIED = 3
"""Of fewer values each is an end."""


def setting_words(overrides: Mapping[str, Any]) -> str:
    """``model.degree=3, optimizer.lr=0.1``."""
    return ", ".join(f"{path}={format_value(value)}" for path, value in overrides.items())


def describe_choice(
    best: Mapping[str, Any] | None, simplest: Mapping[str, Any] | None, selection: Selection
) -> list[str]:
    """The choice in sentences; the arguments are records of :func:`choice_record`."""
    if best is None:
        return []
    value = f"{best['value']:.4g}" + (f" ± {best['se']:.2g}" if best["se"] is not None else "")
    mean = _mean_words(best)
    if not best["overrides"]:
        return [f"{selection.words}: {value}{mean}"]
    lines = [f"best by {selection.words}: {setting_words(best['overrides'])}  ({value}){mean}"]
    if simplest is not None:
        same = simplest["points"] == best["points"]
        setting = "the best itself" if same else setting_words(simplest["overrides"])
        lines.append(f"simplest within one standard error of the best: {setting}  ({simplest['value']:.4g})")
    return lines


def _mean_words(best: Mapping[str, Any]) -> str:
    """Of how many repetitions a choice's value is the mean, where there are several: those in which it is a number."""
    count = len(best["points"])
    if count < 2:
        return ""
    n = best.get("n", count)
    words = f"mean of {n}" + (f" of {count}" if n < count else "") + (", ± standard error" if n > 1 else "")
    return f" ({words}; in the others it is no number)" if n < count else f" ({words})"
