"""``sweep.json``: a sweep at any moment; replaced whole after every point.

The paths that ``zip`` moves together and those of ``random`` have one entry each in ``axes``, with values in step.
``groups`` is empty unless folds or seeds repeat a setting. A metric's name is flat: ``val.mse``.
"""

from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal, NotRequired, TypedDict

from dlcourse.records.check import Wrong
from dlcourse.records.run import MetricFacts

PointStatus = Literal["pending", "running", "done", "diverged", "pruned", "failed", "interrupted"]
SweepStatus = Literal["running", "done", "failed", "interrupted"]


REPEATS = ("data.kfold", "data.kfold.fold", "seed", "train.seed", "data.bootstrap")
"""Paths that repeat an experiment and do not change it; the points that differ in these alone form a group."""


class AxisState(TypedDict):
    """A path that varies, such as ``model.degree``, and its values in order."""

    kind: str
    path: str
    label: str
    values: list[Any]


class SelectState(TypedDict):
    """By what the best point is chosen."""

    metric: str
    split: str
    higher_is_better: bool


class GroupState(TypedDict):
    """A setting and the points that repeat it with other folds or seeds."""

    overrides: dict[str, Any]
    points: list[str]
    complete: bool
    parameters: int | None
    mean: dict[str, float | None]
    sd: NotRequired[dict[str, float | None]]
    se: dict[str, float | None]
    n: dict[str, int]


class Choice(TypedDict):
    """The best setting, or the simplest one within one standard error of it."""

    overrides: dict[str, Any]
    points: list[str]
    metric: str
    split: str
    value: float | None
    sd: NotRequired[float | None]
    se: float | None
    n: NotRequired[int]


class Resampled(TypedDict):
    """What resampling found at one point: bias, variance and noise, or ``estimates``."""

    id: str
    bias2: NotRequired[float | None]
    bias2_se: NotRequired[float | None]
    variance: NotRequired[float | None]
    noise: NotRequired[float | None]
    expected: NotRequired[float | None]
    mse: NotRequired[float | None]
    fits: NotRequired[int]
    estimates: NotRequired[dict[str, dict[str, Any]]]


class ResampleState(TypedDict):
    """What resampling found."""

    task: Literal["regression", "estimation"]
    resamples: int
    points: list[Resampled]


class EnsembleState(TypedDict):
    """The average of the models of one setting; ``growing[k]`` has the metrics of that of the first k + 1."""

    overrides: dict[str, Any]
    points: list[str]
    metrics: dict[str, float | None]
    growing: list[dict[str, float | None]]


class TrialState(TypedDict):
    """A trial of a search, beside its point: what the study has to know to go on."""

    params: dict[str, int | float]
    """As the study drew them: of choices the index, of numbers all digits."""
    after: int
    """How many trials had ended when it was drawn."""
    reports: list[list[Any]]
    """Of each evaluation the step, the value (None: no finite number) and whether the pruner ended the trial there."""


class SearchState(TypedDict):
    """A search: its trials in the order of the points, the numbers of those that ended in that order, and of each path
    the share that it has in how the trials differ."""

    trials: list[TrialState]
    told: list[int]
    importance: dict[str, float]


@dataclass
class PointState:
    """One point; ``folder`` is a run folder within the sweep's."""

    id: str
    overrides: dict[str, Any]
    folder: str | None = None
    status: PointStatus = "pending"
    metrics: dict[str, float | None] = field(default_factory=dict)
    parameters: int | None = None
    flops: int | None = None
    """Of a forward pass of one image."""
    seconds: float | None = None
    error: str | None = None

    def __post_init__(self) -> None:
        for name, path in (("id", self.id), ("folder", self.folder or "")):
            if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
                raise Wrong(f"{name}: expected a path within the sweep's folder, got {path!r}")


@dataclass
class SweepState:
    """All of ``sweep.json``; ``config`` is resolved, with its sweep section."""

    name: str
    config: dict[str, Any]
    axes: list[AxisState]
    metrics: list[str]
    select: SelectState
    points: list[PointState]
    status: SweepStatus = "running"
    groups: list[GroupState] = field(default_factory=list)
    best: Choice | None = None
    one_standard_error: Choice | None = None
    resample: ResampleState | None = None
    ensembles: list[EnsembleState] = field(default_factory=list)
    search: SearchState | None = None
    metric_facts: dict[str, MetricFacts] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


@dataclass
class SweepFile(SweepState):
    """``sweep.json`` for readers that show what there is: each point is checked by itself."""

    points: list[Any]
