"""SweepView: settings, axes and choices of one sweep for the plots, from ``sweep.json`` and the points' folders."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from dlcourse.plots.reading import Folder, as_dict, as_float
from dlcourse.plots.run_view import RunView
from dlcourse.plots.style import split_word
from dlcourse.plots.text import SAMPLE_PATHS, axis_name, label
from dlcourse.records.check import sound
from dlcourse.records.sweep import REPEATS, PointState, SweepFile
from dlcourse.text import canonical, differing_paths, leading_comment, show_value

T = TypeVar("T")


@dataclass(frozen=True)
class Point:
    """One run of the sweep; ``folder`` is relative to the sweep's, empty if there is none."""

    id: str
    overrides: dict[str, Any]
    folder: str = ""
    status: str = "pending"
    metrics: dict[str, float] = field(default_factory=dict)
    parameters: Any = None
    flops: Any = None
    seconds: Any = None
    error: str = ""


@dataclass(frozen=True)
class Setting:
    """What the sweep compares: one point, or the mean over the points that repeat it with other folds or seeds.

    ``counts`` holds the number of repetitions in which a metric is a number; ``n`` is the largest of them.
    """

    overrides: dict[str, Any]
    points: tuple[Point, ...]
    mean: dict[str, float]
    se: dict[str, float]
    n: int = 1
    counts: dict[str, int] = field(default_factory=dict)

    def count(self, key: str) -> int:
        """Of how many repetitions the mean of a metric is."""
        return self.counts.get(key, self.n)

    @classmethod
    def of(cls, point: Point) -> "Setting":
        """A point by itself."""
        return cls(point.overrides, (point,), point.metrics, {})


@dataclass(frozen=True)
class Ensemble:
    """The average of the models of a setting; ``growing[k]`` has the metrics of that of the first k + 1."""

    overrides: dict[str, Any]
    points: list[str]
    metrics: dict[str, float]
    growing: list[dict[str, float]]


@dataclass(frozen=True)
class Axis:
    """A path that varies over the settings, with its values in their first order."""

    path: str
    values: tuple[Any, ...]
    kind: str = "grid"

    @property
    def numeric(self) -> bool:
        """Whether all values are numbers, so that it can be an axis to scale."""
        return all(isinstance(value, int | float) and not isinstance(value, bool) for value in self.values)

    @property
    def whole(self) -> bool:
        return self.numeric and all(float(value).is_integer() for value in self.values)

    @cached_property
    def in_order(self) -> list[Any]:
        """The values, numbers by size."""
        return sorted(self.values) if self.numeric else list(self.values)

    def brief(self, value: Any) -> str:
        """A value as a legend has it: of a component its name, and of its settings those that tell it from others of
        that name."""
        if not isinstance(value, dict) or "name" not in value:
            return show_value(value)
        namesakes = [each for each in self.values if isinstance(each, dict) and each.get("name") == value["name"]]
        telling = differing_paths(namesakes)
        return show_value({key: each for key, each in value.items() if key == "name" or key in telling})

    def named(self, value: Any) -> str:
        """The same with the path's name before what is no component: ``condition 10``."""
        return self.brief(value) if isinstance(value, dict) else _in_words(self.path, value)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {canonical(value): index for index, value in enumerate(self.in_order)}

    def place(self, setting: "Setting") -> int | None:
        """The index of the setting's value among those in order; None where it has none."""
        return self._places[canonical(setting.overrides[self.path])] if self.path in setting.overrides else None

    def settings_at(self, value: Any, settings: Iterable["Setting"]) -> list["Setting"]:
        """Those of the settings that have this value."""
        return [each for each in settings if canonical(each.overrides.get(self.path)) == canonical(value)]

    def sorted(self, items: Iterable[T], overrides: Callable[[T], dict[str, Any]]) -> list[T]:
        """The items that have a value here, by that value."""
        return sorted((i for i in items if self.path in overrides(i)), key=lambda i: overrides(i)[self.path])


class SweepView(Folder):
    """A sweep's folder; what is not there yet is empty."""

    kind, file = "sweep", ("sweep.json", SweepFile)

    def __init__(self, path: Path):
        super().__init__(path)
        self._runs: dict[str, RunView] = {}

    @property
    def config(self) -> dict[str, Any]:
        return as_dict(self.outcome.get("config"))

    @cached_property
    def config_text(self) -> str:
        """The config as YAML: the file if the sweep has one, else what ``sweep.json`` holds."""
        import yaml

        if text := self.text("config.yaml"):
            return text
        return yaml.safe_dump(self.config, sort_keys=False, allow_unicode=True) if self.config else ""

    @property
    def description(self) -> str:
        """The comment at the top of the config; as the points' configs have it where the sweep has no file of its
        own."""
        return leading_comment(self.config_text) or (self.example.description if self.example else "")

    @cached_property
    def points(self) -> tuple[Point, ...]:
        found = [sound(each, PointState) for each in self.outcome.get("points") or ()]
        for index, (_, faults) in enumerate(found):
            for fault in faults:
                self._note("sweep.json", f"points.{index}.{fault}")
        return tuple(_point(record) for record, _ in found)

    @cached_property
    def settings(self) -> tuple[Setting, ...]:
        """Groups of repeated points where there are any, else the points themselves; in the sweep's order."""
        by_id = {point.id: point for point in self.points}
        groups = self.outcome.get("groups")
        if not groups:
            return tuple(map(Setting.of, self.points))
        return tuple(
            Setting(
                group["overrides"],
                tuple(by_id[each] for each in group["points"] if each in by_id),
                {key: as_float(value) for key, value in group["mean"].items()},
                {key: as_float(value) for key, value in group["se"].items() if value is not None},
                max(group["n"].values(), default=0),
                group["n"],
            )
            for group in groups
        )

    @cached_property
    def axes(self) -> tuple[Axis, ...]:
        """The paths with more than one value among the settings; of those that ``zip`` moves in step, only
        one, if it has another value at each step: ``name``, which names whole settings, or else one of numbers."""
        kinds = {str(each.get("path")): str(each.get("kind", "grid")) for each in self.outcome.get("axes") or ()}
        paths = list(dict.fromkeys(path for setting in self.settings for path in setting.overrides))
        found = []
        for path in paths:
            values = {canonical(s.overrides[path]): s.overrides[path] for s in self.settings if path in s.overrides}
            if len(values) > 1 and path not in REPEATS:
                found.append(Axis(path, tuple(values.values()), kinds.get(path, "grid")))
        zipped = [axis for axis in found if axis.kind == "zip"]
        steps = {canonical([setting.overrides.get(axis.path) for axis in zipped]) for setting in self.settings}
        telling = [axis for axis in zipped if len(axis.values) == len(steps)]
        leader = min(telling, key=lambda axis: (axis.path != "name", not axis.numeric), default=None)
        return tuple(axis for axis in found if axis.kind != "zip" or leader in (None, axis))

    @property
    def numeric_axis(self) -> Axis | None:
        """The only axis, if it is one of numbers."""
        return self.axes[0] if len(self.axes) == 1 and self.axes[0].numeric else None

    @property
    def metrics(self) -> list[str]:
        return [str(name) for name in self.outcome.get("metrics") or ()]

    @property
    def select(self) -> tuple[str, str]:
        """Metric and split by which the best is chosen."""
        select = as_dict(self.outcome.get("select"))
        return str(select.get("metric") or next(iter(self.metrics), "loss")), str(select.get("split") or "val")

    @property
    def higher_is_better(self) -> bool:
        """Whether more of the selected metric is better."""
        declared = as_dict(self.outcome.get("select")).get("higher_is_better")
        return bool(declared) if declared is not None else self.metric_facts(self.select[0])["higher_is_better"]

    @property
    def shown_metric(self) -> str:
        """The metric of the images: the selected one; for a sum over samples, which splits of different size do not
        share, its mean where that was measured too."""
        metric = self.select[0]
        return "mse" if metric == "half_sse" and "mse" in self.metrics else metric

    def chosen(self, key: str) -> Setting | None:
        """The setting recorded under ``best`` or ``one_standard_error``."""
        record = self.outcome.get(key)
        if not isinstance(record, dict):
            return None
        wanted = canonical(as_dict(record.get("overrides")))
        return next((setting for setting in self.settings if canonical(setting.overrides) == wanted), None)

    @property
    def selected_name(self) -> str:
        """The metric of the images on the selected split, in words: ``validation accuracy``."""
        return f"{split_word(self.select[1])} {self.metric_name(self.shown_metric)}"

    @property
    def selected_label(self) -> str:
        """As :attr:`selected_name`, with the unit, for an axis."""
        return f"{split_word(self.select[1])} {self.metric_label(self.shown_metric)}"

    @property
    def selected_key(self) -> str:
        """Its key in a setting's means: ``val.accuracy``."""
        return f"{self.select[1]}.{self.shown_metric}"

    @property
    def selected_values(self) -> np.ndarray:
        """Its values in the settings; NaN where it is missing."""
        return self.values(self.select[1])

    @property
    def extreme(self) -> str:
        """What the best of the selected metric is."""
        return "highest" if self.higher_is_better else "least"

    def values(self, split: str, settings: Sequence[Setting] | None = None) -> np.ndarray:
        """The metric of the images in the settings, on a split; NaN where it is missing."""
        return self._column("mean", split, settings)

    def errors(self, split: str, settings: Sequence[Setting] | None = None) -> np.ndarray | None:
        """Its standard errors over folds or seeds, NaN where there is none; None where there are none at all."""
        found = self._column("se", split, settings)
        return found if np.isfinite(found).any() else None

    def _column(self, which: str, split: str, settings: Sequence[Setting] | None) -> np.ndarray:
        chosen, key = self.settings if settings is None else settings, f"{split}.{self.shown_metric}"
        return np.array([getattr(setting, which).get(key, np.nan) for setting in chosen], dtype=float)

    def first_runs(self) -> list[RunView]:
        """The first run of each setting."""
        return [self.run(point) for setting in self.settings for point in setting.points[:1]]

    def run(self, point: Point) -> RunView:
        """The point's own folder; an empty view if it has none."""
        if point.id not in self._runs:
            self._runs[point.id] = RunView(self.path / point.folder if point.folder else self.path / "no such folder")
        return self._runs[point.id]

    @cached_property
    def example(self) -> RunView | None:
        """A point whose folder says what the data are."""
        return next((run for run in map(self.run, self.points) if run.facts), None)

    @property
    def target_unit(self) -> str:
        return self.example.target_unit if self.example else ""

    @cached_property
    def ensembles(self) -> list[Ensemble]:
        """Those of the settings, where the sweep made such."""
        return [
            Ensemble(each["overrides"], each["points"], _numbers(each["metrics"]), [*map(_numbers, each["growing"])])
            for each in self.outcome.get("ensembles") or ()
        ]

    def metric_at(self, identity: str, split: str) -> float:
        """The metric of the images at a point; NaN where it is missing."""
        point = self.point(identity)
        return np.nan if point is None else point.metrics.get(f"{split}.{self.shown_metric}", np.nan)

    @property
    def search(self) -> dict[str, Any]:
        """What a search keeps beside its points: ``trials``, ``told`` and ``importance``."""
        return as_dict(self.outcome.get("search"))

    @property
    def resample(self) -> dict[str, Any]:
        return as_dict(self.outcome.get("resample"))

    @cached_property
    def resampled_points(self) -> list[tuple[Point, dict[str, Any]]]:
        """The points that were resampled, with what :attr:`resample` says of each."""
        records = [as_dict(each) for each in self.resample.get("points") or ()]
        return [(point, record) for record in records if (point := self.point(str(record.get("id")))) is not None]

    @cached_property
    def resampled(self) -> dict[str, np.ndarray]:
        """``resample.npz``."""
        return self.arrays("resample.npz")

    def resampled_fits(self, point: Point) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Inputs (M,) in their order, fits on R training sets (R, M) and the true curve (M,); the first target's."""
        x, outputs, curve = (self.resampled.get(key) for key in ("x", f"{point.id}.outputs", f"{point.id}.curve"))
        if x is None or outputs is None or curve is None or outputs.shape[1:2] != (x.size,) or len(curve) != x.size:
            return None
        order = np.argsort(x.ravel(), kind="stable")
        fits = outputs.reshape(len(outputs), x.size, -1)[:, order, 0]
        return x.ravel()[order], fits, curve.reshape(x.size, -1)[order, 0]

    def point(self, identity: str) -> Point | None:
        return next((point for point in self.points if point.id == identity), None)

    def telling(self, setting: Setting, but: str = "train") -> str:
        """What tells a setting apart in a legend, in few words: ``sgd(momentum=0.9)``, ``newton, condition 10``.

        Args:
            but: of this section nothing is said.
        """
        own = [path for path in setting.overrides if path not in REPEATS and path.split(".")[0] != but]
        axes = [Axis(path, tuple(s.overrides[path] for s in self.settings if path in s.overrides)) for path in own]
        words = ", ".join(axis.named(setting.overrides[axis.path]) for axis in axes) or self.label(setting.overrides)
        return label(words.replace("_", " "))

    def label(self, overrides: dict[str, Any]) -> str:
        """A setting in words, by the axes only: ``degree 3, ridge 0.1``."""
        named = [_in_words(axis.path, overrides[axis.path]) for axis in self.axes if axis.path in overrides]
        return ", ".join(named or (_in_words(path, value) for path, value in overrides.items()))


def _in_words(path: str, value: Any) -> str:
    """``degree 3``, ``200 training samples``, and the name of a whole setting by itself."""
    if path == "name":
        return show_value(value)
    words = (show_value(value), axis_name(path))
    return " ".join(words if path in SAMPLE_PATHS else words[::-1])


def _numbers(metrics: dict[str, Any]) -> dict[str, float]:
    return {key: as_float(value) for key, value in metrics.items()}


def spread(items: Sequence[Any], count: int, keep: Any = None) -> list[Any]:
    """At most ``count`` of the items at even distances, the first, the last and ``keep`` among them, in order."""
    if len(items) <= count:
        return list(items)
    chosen = set(np.linspace(0, len(items) - 1, count).round().astype(int).tolist())
    wanted = next((index for index, item in enumerate(items) if item is keep), None)
    if wanted is not None and wanted not in chosen:
        inner = sorted(chosen)[1:-1] or sorted(chosen)[-1:]
        chosen.remove(min(inner, key=lambda index: abs(index - wanted)))
        chosen.add(wanted)
    return [items[index] for index in sorted(chosen)]


def _point(record: dict[str, Any]) -> Point:
    """A sound record of a point; a key that is null or missing has its default."""
    known = {each.name for each in fields(Point)}
    found = {key: value for key, value in record.items() if key in known and value is not None}
    metrics = {key: as_float(value) for key, value in found.get("metrics", {}).items()}
    return Point(**{"id": "", "overrides": {}, **found, "metrics": metrics})
