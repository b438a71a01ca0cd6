"""The state of a sweep at its start, at a resume, and at its end."""

import bisect
import operator
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from dlcourse.config import Config, choosing_metric, metric_facts, metric_labels, resolve
from dlcourse.data import prepare
from dlcourse.data.fingerprint import differences, fingerprint
from dlcourse.data.preparation import COMMON
from dlcourse.errors import ChangedDataError, ConfigError, DamagedFileError, UserError
from dlcourse.experiment.components import changed_files
from dlcourse.records.sweep import AxisState, PointState, SweepState
from dlcourse.sweeps.axes import Axis, axes_of
from dlcourse.sweeps.conclusions import (
    Candidate,
    Selection,
    candidates,
    choice_record,
    choose,
    group_records,
    has_repeats,
    remarks,
)
from dlcourse.sweeps.expansion import Point, trial_base
from dlcourse.sweeps.folder import ARRAYS, FINISHED, SweepFolder, attempts, free_place, known_result
from dlcourse.sweeps.point import FACTS, Start
from dlcourse.text import canonical, differing_paths, flatten, short_paths
from dlcourse.training.folder import RunFolder

Say = Callable[[str], None]

_MAX_ASKED = 5  # data sets that are looked at to find out whether they changed

_MAY_DIFFER = ("name", "device", "plugins", "sweep.execution", "sweep.search.trials")
"""What a resumed sweep may change: where it runs, what it is called, where component files lie, and how many trials a
search has."""


def new_state(config: Config, points: Sequence[Point]) -> SweepState:
    """A sweep before its first point."""
    labels, chosen_by = metric_labels(config.data["metrics"]) or ["loss"], choosing_metric(config.data)
    facts: dict[str, Any] = {label: metric_facts(label) for label in labels}
    metric = chosen_by["metric"]
    direction = metric_facts(metric)["higher_is_better"]
    return SweepState(
        name=config.data["name"],
        config=config.data,
        axes=_axis_records(axes_of(config.data)) + _searched(config.data["sweep"]["search"]),
        metrics=labels,
        select={"metric": metric, "split": chosen_by["split"], "higher_is_better": direction},
        metric_facts=facts,
        points=[PointState(point.id, point.overrides) for point in points],
    )


def resumed_state(folder: SweepFolder, config: Config, points: Sequence[Point], say: Say) -> SweepState:
    """The state of a sweep that is to go on: of these points, with what ``sweep.json`` knows of them.

    Where that file is damaged a note says so, and the points' own folders show how far they are.

    Raises:
        UserError: the config is not the one that the sweep was started with; names what differs.
        ChangedDataError: the data are not those that its points were trained on.
    """
    fresh = new_state(config, points)
    try:
        state = folder.read()
    except DamagedFileError as error:
        say(f"{error}; it is written anew from the points' folders")
        state = replace(fresh, config=resolve(folder.config).data)
    before, now = flatten(_completed(state.config)), flatten(config.data)
    paths = [path for path in differing_paths([before, now]) if path not in _MAY_DIFFER]
    if paths:
        changes = "; ".join(f"{path}: {before.get(path)!r}, now {now.get(path)!r}" for path in paths)
        raise UserError(f"{folder.path}: was started with another config: {changes}; a changed config is a new sweep")
    if config.data["sweep"]["search"]:
        points = _trials(config, state.points)
    elif [(p.id, canonical(p.overrides)) for p in state.points] != [(p.id, canonical(p.overrides)) for p in points]:
        say(f"{folder.state}: its points are not those of the config; it is written anew from the points' folders")
        state = fresh
    _check_data(folder, points)
    _say_changed_files(folder, points, say)
    return replace(fresh, points=state.points, status=state.status, resample=state.resample, search=state.search)


def _trials(config: Config, points: Sequence[PointState]) -> list[Point]:
    """The trials that a search has finished, as far as their settings are right."""
    base = trial_base(config)
    finished = [point for point in points if point.status in FINISHED]
    return [Point(point.id, point.overrides, base.at(point.overrides)) for point in finished]


def _completed(config: dict[str, Any]) -> dict[str, Any]:
    """A resolved config with the keys that came into the program since it was written, at their defaults."""
    try:
        return resolve(config).data
    except ConfigError:
        return config


def _check_data(folder: SweepFolder, points: Sequence[Point]) -> None:
    """Refuse to add points on data that changed to those that are finished; of each data set one point is asked."""
    asked: set[str] = set()
    for point in points:
        section, seed = point.config.data["data"], point.config.data["seed"]
        source = canonical({key: value for key, value in section.items() if key not in COMMON})
        made = attempts(folder.points / point.id)
        if source in asked or len(asked) == _MAX_ASKED or not made or _status(made[-1]) not in FINISHED:
            continue
        asked.add(source)
        before = RunFolder(made[-1]).read_result().get("data")
        found = differences(before, fingerprint(prepare(section, seed))) if before else []
        if found:
            changes = f"{folder.path}: the data changed since its point {point.id} was trained: {'; '.join(found)}"
            raise ChangedDataError(f"{changes}; restore the data, or start a new sweep")


def _say_changed_files(folder: SweepFolder, points: Sequence[Point], say: Say) -> None:
    for point in points:
        made = attempts(folder.points / point.id)
        if made and _status(made[-1]) in FINISHED:
            for file in changed_files(RunFolder(made[-1])):
                say(f"note: {file} was changed since point {point.id} was run: new points run with it as it is now")
            return


def next_action(folder: SweepFolder, state: SweepState, point: PointState) -> tuple[Path, Start] | None:
    """The folder of the point's next attempt and what to do in it; None if nothing is left to do.

    The point's own ``result.json`` is asked, as ``sweep.json`` may be older where the process was killed, and newer
    where the point's folder was deleted.
    """
    made = attempts(folder.points / point.id)
    if point.status in FINISHED and not _lost(folder, point) and not _lacks_resampling(folder, state, point):
        return None
    if made and made[-1].is_dir():
        if not any(made[-1].iterdir()):
            return made[-1], "run"
        status = _status(made[-1])
        if status in FINISHED:
            return made[-1], "skip"
        if status != "failed" and RunFolder(made[-1]).config.is_file():
            return made[-1], "resume"
    return free_place(folder.points / point.id), "run"


def _lost(folder: SweepFolder, point: PointState) -> bool:
    """Whether a finished point had a run folder (one that was solved stacked has none) that says so no longer."""
    return point.folder is not None and _status(folder.path / point.folder) not in FINISHED


def _status(place: Path) -> str | None:
    return known_result(place).get("status")


def _lacks_resampling(folder: SweepFolder, state: SweepState, point: PointState) -> bool:
    """Whether the sweep resamples, and what that found at the point is not there."""
    if not state.config["sweep"]["resample"] or point.status != "done":
        return False
    if state.resample is None or all(row["id"] != point.id for row in state.resample["points"]):
        return True
    return state.resample["task"] == "regression" and not (folder.path / (point.folder or "") / ARRAYS).is_file()


def record_outcome(state: SweepState, point: PointState, outcome: dict[str, Any]) -> None:
    """Put what :func:`~dlcourse.sweeps.point.execute` returned into the state."""
    point.status, point.error = outcome["status"], outcome["error"]
    point.metrics = outcome.get("metrics", {})
    for key in FACTS:
        setattr(point, key, outcome.get(key))
    if "resample" in outcome:
        task: Literal["regression", "estimation"] = "estimation" if "estimates" in outcome["resample"] else "regression"
        rows: list[Any] = [] if state.resample is None else state.resample["points"]
        place = bisect.bisect_left(rows, point.id, key=operator.itemgetter("id"))  # they begin with a number: in order
        known = place < len(rows) and rows[place]["id"] == point.id
        rows[place : place + known] = [{"id": point.id, **outcome["resample"]}]
        state.resample = {"task": task, "resamples": state.config["sweep"]["resample"], "points": rows}


def conclude(state: SweepState) -> None:
    """Fill in groups, the best setting, the simplest one within one standard error, and the sweep's own status."""
    settings = candidates(state.points)
    if state.search is not None:  # that may draw a setting twice
        settings = [Candidate(point.overrides, (point,)) for point in state.points]
        for axis in state.axes:
            tried = {canonical(point.overrides[axis["path"]]): point.overrides[axis["path"]] for point in state.points}
            axis["values"] = list(tried.values())
    selection = Selection(**state.select)
    best, simplest = choose(settings, selection)
    state.groups = group_records(settings) if has_repeats(state.points) else []
    state.best = None if best is None else choice_record(settings[best], selection)
    state.one_standard_error = None if simplest is None else choice_record(settings[simplest], selection)
    state.remarks = remarks(settings, best, selection, state.axes)
    wanted = len(state.points) if state.search is None else state.config["sweep"]["search"]["trials"]
    ended = sum(point.status in FINISHED for point in state.points)
    state.status = "done" if ended == len(state.points) >= wanted else "failed"


def _axis_records(found: Sequence[Axis]) -> list[AxisState]:
    names = short_paths([path for axis in found for path in axis.paths])
    records: list[AxisState] = []
    for axis in found:
        for path, values in zip(axis.paths, zip(*axis.settings, strict=True), strict=True):
            records.append({"kind": axis.kind, "path": path, "label": names[path], "values": list(values)})
    return records


def _searched(search: dict[str, Any] | None) -> list[AxisState]:
    """The paths of a search; their values are known when its trials are."""
    names = short_paths(search["space"]) if search else {}
    return [{"kind": "search", "path": path, "label": name, "values": []} for path, name in names.items()]
