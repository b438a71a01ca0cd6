"""A sweep as text: its points before they run; the table, the conclusions and the CSV files at the end."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dlcourse.config import Config
from dlcourse.records.sweep import EnsembleState, PointState, SweepState
from dlcourse.sweeps.conclusions import (
    SPLIT_NAMES,
    Selection,
    candidates,
    describe_choice,
    setting_words,
    status_of_all,
    summaries,
)
from dlcourse.sweeps.expansion import Point
from dlcourse.sweeps.folder import FINISHED, known_result
from dlcourse.sweeps.table import Column, metric_columns, render
from dlcourse.text import (
    canonical,
    csv_text,
    differing_paths,
    flatten,
    format_number,
    format_value,
    metric_keys,
    short_paths,
)
from dlcourse.text import table as text_table

_ASKED = 5
"""Points whose folder is looked into for a baseline."""
_WHY_NOT = {"pending": "it did not run", "running": "it did not come to its end", "interrupted": "it was interrupted"}
_TERMS = {
    "bias2": "bias²",
    "variance": "variance",
    "noise": "noise",
    "expected": "sum",
    "mse": "measured mse",
    "fits": "fits",
}


def plan(points: Sequence[Point], base: Config) -> str:
    """What ``--dry-run`` prints: each point with all in which its resolved config differs from the file's."""
    usual = flatten(base.data)
    lines = []
    for point in points:
        config = flatten(point.config.data)
        paths = differing_paths([usual, config])
        changed = [f"{path}: {_shown(usual, path)} -> {_shown(config, path)}" for path in paths]
        lines.append([f"  {point.id}", ", ".join(changed) or "as the config says"])
    return f"{len(points)} points\n{text_table(lines, left=2)}"


def search_plan(search: Mapping[str, Any]) -> str:
    """What ``--dry-run`` prints of a search: its space, as its trials are not known before they run."""
    lines = []
    for path, spec in search["space"].items():
        if isinstance(spec, list):
            lines.append([f"  {path}", "one of " + ", ".join(map(format_value, spec))])
        else:
            kind = "whole number" if spec["int"] else "number"
            ends = f"{format_number(spec['low'])} to {format_number(spec['high'])}"
            lines.append([f"  {path}", f"{kind} from {ends}" + (", by its logarithm" if spec["log"] else "")])
    pruned = "" if search["pruner"] == "none" else f", pruned by {search['pruner']}"
    by = Selection(search["metric"], search["split"], False).words
    return f"{search['trials']} trials by {search['name']}{pruned}, for the best {by}\n{text_table(lines, left=2)}"


def search_lines(state: SweepState) -> Iterator[str]:
    """How the trials of a search ended, and which of the paths matter."""
    if state.search is None:
        return
    statuses = [point.status for point in state.points]
    counts = ", ".join(f"{statuses.count(status)} {status}" for status in dict.fromkeys(sorted(statuses)))
    yield f"{len(statuses)} trials by {state.config['sweep']['search']['name']}: {counts}"
    if shares := state.search["importance"]:
        yield f"share in what makes a trial good: {', '.join(f'{path} {share:.2f}' for path, share in shares.items())}"


def _shown(config: dict[str, Any], path: str) -> str:
    return format_value(config[path]) if path in config else "(not there)"


def tables(state: SweepState, width: int) -> list[str]:
    """What there is to show: the metrics of the points, the resampling, or both."""
    found = []
    measured = any(point.metrics for point in state.points)
    if measured or any(point.status != "done" for point in state.points):
        found.append(ensemble_table(state, width) if state.ensembles else table(state, width))
    if state.resample is not None:
        found.append(resample_table(state))
    return found


def table(state: SweepState, width: int) -> str:
    """The sweep's table: axes, then metrics by split; the best row is marked. Folds and seeds are averaged.

    Metrics that do not fit into ``width`` are left to the CSV file, but never the one that the best is chosen by.
    """
    rows: list[dict[str, Any]]
    if state.groups:
        status = {point.id: point.status for point in state.points}
        rows = [
            {**group, "metrics": group["mean"], "status": status_of_all([status[p] for p in group["points"]])}
            for group in state.groups
        ]
        spread = [group["se"] for group in state.groups]
    else:
        rows = [{"overrides": p.overrides, "metrics": p.metrics, "status": p.status} for p in state.points]
        spread = None
    columns = _axis_columns([row["overrides"] for row in rows])
    if any(row["status"] != "done" for row in rows):
        columns.append(Column("status", [row["status"] for row in rows], left=True))
    measured = metric_columns([row["metrics"] for row in rows], state.metrics, spread)
    settings = [canonical(row["overrides"]) for row in rows]
    best = settings.index(canonical(state.best["overrides"])) if state.best else None
    text, left_out = _fitted(columns, measured, state, width, best if len(rows) > 1 else None, "best")
    notes = ["mean ± standard error"] if "±" in text else []
    if notes and (seeds := state.config["sweep"].get("seeds")):
        count = seeds if isinstance(seeds, int) else len(seeds)
        notes = [f"mean ± standard error over {count} seeds; standard deviations in groups.csv"]
    partial = [key for key in _partial_means(state) if key.split(".", 1)[1] not in left_out]
    notes += [f"no number in some repetitions, which the mean leaves out: {', '.join(partial)}"] if partial else []
    notes += [f"{', '.join(left_out)}: in table.csv"] if left_out else []
    return f"{text}\n  ({'; '.join(notes)})" if notes else text


def ensemble_table(state: SweepState, width: int) -> str:
    """Each model of each ensemble, their mean, and the ensemble."""
    by_id = {point.id: point for point in state.points}
    names: list[str] = []
    rows: list[Mapping[str, float | None]] = []
    settings: list[dict[str, Any]] = []
    for each in state.ensembles:
        models = [by_id[point].metrics for point in each["points"]]
        mean = {key: found.mean for key, found in summaries(models).items()}
        names += [*each["points"], f"mean of {len(models)}", f"ensemble of {len(models)}"]
        rows += [*models, mean, each["metrics"]]
        settings += [each["overrides"]] * (len(models) + 2)
    columns = [*_axis_columns(settings), Column("model", names, left=True)]
    text, left_out = _fitted(columns, metric_columns(rows, state.metrics), state, width)
    return f"{text}\n  ({', '.join(left_out)}: in table.csv)" if left_out else text


def _fitted(
    columns: list[Column],
    measured: list[Column],
    state: SweepState,
    width: int,
    mark: int | None = None,
    note: str = "",
) -> tuple[str, list[str]]:
    """A table with as many of the metrics as fit, and the names of the others."""
    by_column = sorted(dict.fromkeys(column.group for column in measured), key=lambda m: m != state.select["metric"])
    left_out: list[str] = []
    while True:
        shown = [column for column in measured if column.group not in left_out]
        text = render([*columns, *shown], mark, note)
        if len(left_out) >= len(by_column) - 1 or max(map(len, text.splitlines())) <= width:
            return text, left_out
        left_out.insert(0, by_column[-1 - len(left_out)])


def _partial_means(state: SweepState) -> list[str]:
    """Metrics, such as ``val.r2``, that are no number in a repetition that came to its end."""
    done = {point.id for point in state.points if point.status == "done"}
    keys = {
        key
        for group in state.groups
        for key, n in group["n"].items()
        if n < sum(point in done for point in group["points"])
    }
    return [f"{split}.{name}" for name, split in metric_keys([dict.fromkeys(keys)], state.metrics)]


def _axis_columns(settings: Sequence[dict[str, Any]]) -> list[Column]:
    names = short_paths(dict.fromkeys(path for overrides in settings for path in overrides))
    return [Column(name, [format_value(overrides[path]) for overrides in settings]) for path, name in names.items()]


def resample_table(state: SweepState) -> str:
    """Bias, variance and noise of each point, or each estimator's bias, variance and error beside the formulas'."""
    found: Any = state.resample
    overrides = {point.id: point.overrides for point in state.points}
    if found["task"] != "estimation":
        rows = found["points"]
        columns = _axis_columns([overrides[row["id"]] for row in rows])
        columns += [Column(name, [format_number(row[key]) for row in rows]) for key, name in _TERMS.items()]
        return render(columns)
    pairs = [(row["id"], name, each) for row in found["points"] for name, each in row["estimates"].items()]
    columns = _axis_columns([overrides[identity] for identity, _, _ in pairs])
    columns.append(Column("estimator", [name for _, name, _ in pairs], left=True))
    columns.append(Column("truth", [format_number(each["truth"]) for _, _, each in pairs]))
    for key in ("bias", "variance", "mse"):
        columns.append(Column("measured", [format_number(each[key]) for _, _, each in pairs], group=key))
        if any(each["theory"] for _, _, each in pairs):
            cells = [format_number(each["theory"] and each["theory"][key]) for _, _, each in pairs]
            columns.append(Column("formula", cells, group=key))
    return render(columns)


def conclusion(state: SweepState) -> list[str]:
    """The best setting in words, or why there is none; of a resampled regression that of the least expected error."""
    selection = Selection(**state.select)
    alone = len(state.ensembles) == 1
    lines = [] if alone else describe_choice(state.best, state.one_standard_error, selection)
    lines += [line for each in state.ensembles for line in ensemble_gain(each, state)]
    if lines and len(state.points) > 1 and selection.split == "test":
        lines.append("note: the test split has chosen, which spoils it: its numbers are too good for new data")
    lines += search_lines(state)
    lines += [f"note: {remark}" for remark in state.remarks if state.resample is None]
    measured = {key for point in state.points for key in point.metrics}
    if state.resample is not None:
        lines += _least_expected(state)
    elif not measured and any(point.status == "done" for point in state.points):
        lines.append(
            "nothing was measured: estimates have no metric; sweep.resample gives their bias and variance, and the log "
            "of each point its estimates"
        )
    elif len(state.points) > 1 and measured and selection.key not in measured:
        lines.append(f"no best point is named: there is no {selection.words}; data.split.val or sweep.kfold gives one")
    elif measured and state.best is None and all(point.metrics.get(selection.key) is None for point in state.points):
        lines.append(f"no best point is named: {selection.words} is a finite number at no point; watch another metric")
    return lines


def ensemble_gain(ensemble: EnsembleState, state: SweepState) -> Iterator[str]:
    """What an ensemble gains over its models, on the validation and the test split."""
    by_id = {point.id: point.metrics for point in state.points}
    found = summaries([by_id[point] for point in ensemble["points"]])
    metric, better = state.select["metric"], 1 if state.select["higher_is_better"] else -1
    for split in ("val", "test"):
        value, models = ensemble["metrics"].get(f"{split}.{metric}"), found.get(f"{split}.{metric}")
        if value is not None and models is not None:
            gain = better * (value - models.mean)
            words = f"{abs(gain):.2g} {'better' if gain >= 0 else 'worse'}"
            of = f"{setting_words(ensemble['overrides'])}: " if ensemble["overrides"] else ""
            yield (
                f"{of}ensemble of {len(ensemble['points'])}: {SPLIT_NAMES[split]} {metric} {value:.4g}, its models "
                f"{models.mean:.4g} on average: {words}"
            )


def baseline(state: SweepState, folder: Path) -> list[str]:
    """What ignoring the inputs scores, in a line, as the best point's run says, else the first that does; and whether
    the best is no better."""
    best = state.best["points"][0] if state.best else None
    points = sorted((point for point in state.points if point.folder), key=lambda point: point.id != best)
    for point in points[:_ASKED]:
        found = known_result(folder / str(point.folder)).get("baseline") or {}
        if not found.get("metrics"):
            continue
        values = ", ".join(f"{label} {format_number(value)}" for label, value in found["metrics"].items())
        lines = [f"baseline ({found['split']}): {values}: {found['words']}"]
        if point.id == best and found.get("note"):
            lines.append(f"note: {best}, the best, is {found['note']}")
        return lines
    return []


def _least_expected(state: SweepState) -> list[str]:
    if state.resample is None or state.resample["task"] == "estimation" or len(state.points) < 2:
        return []
    expected = {row["id"]: row["expected"] for row in state.resample["points"]}
    found = []
    for setting in candidates(state.points):  # other initial weights or splits are no other setting
        values = [value for point in setting.points if (value := expected.get(point.id)) is not None]
        if values:
            found.append((sum(values) / len(values), setting_words(setting.overrides)))
    if len(found) < 2:
        return []
    value, words = min(found, key=lambda pair: pair[0])
    return [f"least expected error (bias² + variance + noise): {words}  ({value:.4g})"]


def failures(points: Sequence[PointState]) -> list[str]:
    """The points that failed or did not run, once more, each with its reason."""
    failed = [point for point in points if point.status not in FINISHED]
    lines = [f"{len(failed)} of {len(points)} points failed:"] if failed else []
    return lines + [f"  {point.id}: {point.error or _WHY_NOT.get(point.status, point.status)}" for point in failed]


def points_csv(state: SweepState) -> str:
    """Every point, one line each, at full precision."""
    paths = list(dict.fromkeys(path for point in state.points for path in point.overrides))
    keys = [f"{split}.{name}" for name, split in metric_keys([p.metrics for p in state.points], state.metrics)]
    header = ["id", *paths, "status", *keys, "parameters", "seconds", "error", "folder"]
    rows = []
    for point in state.points:
        values = [point.overrides.get(path) for path in paths]
        measured = [point.metrics.get(key) for key in keys]
        last = [point.parameters, point.seconds, point.error, point.folder]
        rows.append([point.id, *values, point.status, *measured, *last])
    return csv_text(header, rows)


def groups_csv(state: SweepState) -> str:
    """Every setting with mean, standard deviation, standard error and number of repetitions of each metric."""
    paths = list(dict.fromkeys(path for group in state.groups for path in group["overrides"]))
    keys = [f"{split}.{name}" for name, split in metric_keys([g["mean"] for g in state.groups], state.metrics)]
    columns = [(key, statistic) for key in keys for statistic in ("mean", "sd", "se", "n")]
    rows = []
    group: Any
    for group in state.groups:
        values = [group["overrides"].get(path) for path in paths]
        rows.append([*values, group["complete"], *(group.get(statistic, {}).get(key) for key, statistic in columns)])
    return csv_text([*paths, "complete", *map(".".join, columns)], rows)
