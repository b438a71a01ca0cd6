"""The tables of a report: metrics of a run; settings, points and resamples of a sweep."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dlcourse.metrics.class_counts import count_classes, f1_of, precision_of, recall_of
from dlcourse.plots.figures.confusion import known_classes
from dlcourse.plots.reading import as_dict, as_float
from dlcourse.plots.run_view import RunView
from dlcourse.plots.style import split_word
from dlcourse.plots.sweep_view import Point, Setting, SweepView
from dlcourse.plots.text import number
from dlcourse.text import metric_keys, short_paths, show_value

MAX_CLASSES = 30
"""Of more classes there is no table."""


@dataclass(frozen=True)
class Cell:
    """A cell of a table: its text, where it leads, whether it is a number."""

    text: str
    link: str = ""
    number: bool = True


@dataclass(frozen=True)
class Table:
    """Headings in two lines (a group's name with the number of columns it spans, then the columns) and rows.

    ``marks`` has one word for each row: ``best``, ``simplest``, ``failed`` or nothing.
    """

    groups: list[tuple[str, int]]
    heads: list[Cell]
    rows: list[list[Cell]]
    marks: list[str]


def metrics_table(view: RunView) -> Table | None:
    """Metrics in rows, splits in columns, and what the baseline scores; None if there are none."""
    metrics = view.metrics
    names = list(dict.fromkeys(name for values in metrics.values() for name in values))
    if not names:
        return None
    heads = [Cell("", number=False), *(Cell(split_word(split)) for split in metrics)]
    columns = list(metrics.values())
    beside = as_dict(view.baseline.get("metrics"))
    if beside:
        heads.append(Cell(f"baseline, {split_word(str(view.baseline.get('split')))}"))
        columns.append({name: as_float(value) for name, value in beside.items()})
    rows = [
        [Cell(view.metric_name(name), number=False), *(Cell(number(values.get(name))) for values in columns)]
        for name in names
    ]
    return Table([], heads, rows, [""] * len(rows))


def classes_table(view: RunView) -> Table | None:
    """Samples, precision, recall and F1 of each class, on the split of the final word; None where classes are many."""
    if not 2 <= known_classes(view) <= MAX_CLASSES:
        return None
    subset = view.splits[view.report_split]
    hits, predicted, actual = count_classes(subset.output, subset.y)
    rates = [each(hits, predicted, actual) for each in (precision_of, recall_of, f1_of)]
    heads = [Cell("class", number=False), *(Cell(name) for name in ("samples", "precision", "recall", "F1"))]
    rows = [
        [Cell(view.class_name(c), number=False), Cell(number(actual[c])), *(Cell(f"{each[c]:.3f}") for each in rates)]
        for c in range(len(hits))
    ]
    return Table([], heads, rows, [""] * len(rows))


def measured_table(view: SweepView, settings: Sequence[Setting]) -> Table:
    """Settings with every metric of every split; means and standard errors where they are repeated."""
    columns = metric_keys((setting.mean for setting in view.settings), view.metrics)
    repeated = any(setting.n > 1 for setting in settings)
    varied, rows = _varied(settings)
    heads = [*varied, *(Cell(split_word(split)) for _, split in columns)]
    heads.append(Cell("repetitions" if repeated else "run", number=False))
    best, simplest = view.chosen("best"), view.chosen("one_standard_error")
    marks = []
    for row, setting in zip(rows, settings, strict=True):
        row += [Cell(_mean_and_error(setting, f"{split}.{metric}")) for metric, split in columns]
        row.append(Cell(str(setting.n), number=False) if repeated else _link(view, setting.points))
        failed = setting.points and all(point.status in ("failed", "diverged") for point in setting.points)
        marks.append("best" if setting is best else "simplest" if setting is simplest else "failed" if failed else "")
    return Table(_groups(view, len(varied), columns), heads, rows, marks)


def _groups(view: SweepView, varied: int, columns: list[tuple[str, str]]) -> list[tuple[str, int]]:
    groups = [("", varied)] if varied else []
    for metric in dict.fromkeys(metric for metric, _ in columns):
        groups.append((view.metric_name(metric), sum(other == metric for other, _ in columns)))
    return [*groups, ("", 1)]


def _shown(overrides: Mapping[str, Any], path: str) -> str:
    return show_value(overrides[path]) if path in overrides else "—"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _mean_and_error(setting: Setting, key: str) -> str:
    if key not in setting.mean:
        return "—"
    error = f" ± {number(setting.se[key], 2)}" if key in setting.se else ""
    fewer = f" (of {setting.count(key)})" if setting.count(key) < setting.n else ""
    return number(setting.mean[key]) + error + fewer


def _link(view: SweepView, points: Iterable[Point]) -> Cell:
    """To the report of the point's run, or its folder; the status where there is none."""
    point = next(iter(points), None)
    if point is None:
        return Cell("—", number=False)
    target = Path(point.folder) if point.folder else None
    if target is None or target.is_absolute() or ".." in target.parts or not (view.path / target).is_dir():
        return Cell(point.status, number=False)
    own_report = (view.path / target / "report.html").is_file()
    # A path that is quoted and begins with ./ cannot be taken for an address with a scheme.
    link = "./" + quote(target.as_posix()) + ("/report.html" if own_report else "/")
    return Cell(point.status, link, number=False)


def resample_table(view: SweepView) -> tuple[str, Table] | None:
    """What the training sets drawn anew say, under its heading; None if none were drawn."""
    pairs = view.resampled_points
    if not pairs:
        return None
    heading = f"Over {number(view.resample.get('resamples'))} training sets drawn anew"
    if view.resample.get("task") == "estimation":
        return heading, _estimator_table(pairs)
    terms = {
        "bias2": "bias²",
        "variance": "variance",
        "noise": "noise",
        "expected": "their sum",
        "mse": "measured error",
        "fits": "fits",
    }
    heads, rows = _varied([point for point, _ in pairs])
    heads += [Cell(word) for word in terms.values()]
    for row, (_, record) in zip(rows, pairs, strict=True):
        row += [Cell(number(as_float(record.get(key)))) for key in terms]
    return heading, Table([], heads, rows, [""] * len(rows))


def _estimator_table(pairs: list[tuple[Point, dict[str, Any]]]) -> Table:
    """One row for each estimator of each point: the truth, then bias, variance and error, measured and by formula."""
    terms = {"bias": "bias", "variance": "variance", "mse": "mean squared error"}
    heads, varied = _varied([point for point, _ in pairs])
    groups = [("", len(heads) + 2), *((word, 2) for word in terms.values())]
    heads += [Cell("estimator", number=False), Cell("truth")]
    heads += [Cell(word) for _ in terms for word in ("measured", "formula")]
    rows = []
    for row, (_, record) in zip(varied, pairs, strict=True):
        for name, estimate in as_dict(record.get("estimates")).items():
            measured, theory = as_dict(estimate), as_dict(as_dict(estimate).get("theory"))
            cells = [Cell(name, number=False), Cell(number(as_float(measured.get("truth"))))]
            for term in terms:
                cells.append(Cell(number(as_float(measured.get(term)))))
                cells.append(Cell(number(theory.get(term))))
            rows.append(row + cells)
    return Table(groups, heads, rows, [""] * len(rows))


def _varied(items: Sequence[Point | Setting]) -> tuple[list[Cell], list[list[Cell]]]:
    """Headings and cells of what sets points or settings apart."""
    paths = list(dict.fromkeys(path for item in items for path in item.overrides))
    names = short_paths(paths)
    rows = [
        [Cell(_shown(item.overrides, path), number=_is_number(item.overrides.get(path))) for path in paths]
        for item in items
    ]
    return [Cell(names[path], number=False) for path in paths], rows
