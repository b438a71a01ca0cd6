"""``run_sweep``: run every point of a config's sweep and draw the conclusions."""

import contextlib
import functools
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dlcourse import plugins, serialize
from dlcourse.backend import Backend
from dlcourse.config import Config, resolve
from dlcourse.config.overrides import Overrides
from dlcourse.data import prepare
from dlcourse.errors import CheckpointError, ConfigError, DamagedFileError, Interrupted, UserError
from dlcourse.experiment.lockstep import SharedData
from dlcourse.experiment.runner import ConfigSource, Options, draw
from dlcourse.records.sweep import Choice, EnsembleState, GroupState, PointState, ResampleState, SweepState
from dlcourse.streams import show
from dlcourse.sweeps import closed_form, cluster, ensemble, resample, summary
from dlcourse.sweeps.cluster import Cluster, ClusterError
from dlcourse.sweeps.conclusions import Selection
from dlcourse.sweeps.expansion import Point, expand
from dlcourse.sweeps.folder import ARRAYS, FINISHED, SweepFolder
from dlcourse.sweeps.point import Resampling, Task, events
from dlcourse.sweeps.processes import Event
from dlcourse.sweeps.progress import Progress
from dlcourse.sweeps.requirements import requirements
from dlcourse.sweeps.search import Search
from dlcourse.sweeps.stacked import Stacking, plan
from dlcourse.sweeps.states import conclude, new_state, next_action, record_outcome, resumed_state
from dlcourse.sweeps.study import installed
from dlcourse.tensorfile import npz
from dlcourse.training.atomic import write_bytes
from dlcourse.training.log import Log

_OUTDATED = 0.5  # seconds

_Todo = tuple[PointState, Task]


@dataclass(frozen=True)
class SweepResult:
    """What a sweep came to; the parts are as in ``sweep.json``, see :mod:`dlcourse.sweeps.folder`.

    Attributes:
        folder: None after a dry run.
        status: "done", "failed" if any point failed or did not run, "planned" after a dry run.
        points: in order; each has ``id``, ``overrides``, ``status``, ``metrics`` (flat, such as ``val.mse``).
        groups: means and standard errors over folds or seeds.
        best: the best setting by validation, or None.
        one_standard_error: the simplest setting within one standard error of the best, or None.
        resample: bias, variance and noise, or None.
        ensembles: the average of the models of each setting, where the config has an ``ensemble``.
    """

    folder: Path | None
    status: str
    points: list[PointState]
    groups: list[GroupState]
    best: Choice | None
    one_standard_error: Choice | None
    resample: ResampleState | None
    ensembles: list[EnsembleState]

    @property
    def exit_code(self) -> int:
        """1 if any point failed or did not run, 4 if all diverged, else 0: that some diverge is what a sweep is to find
        out."""
        if self.status == "planned":
            return 0
        statuses = {point.status for point in self.points}
        return 1 if statuses - {*FINISHED} else 4 if statuses == {"diverged"} else 0


def run_sweep(
    config: ConfigSource | None = None,
    *,
    device: str | None = None,
    overrides: Overrides = (),
    out: str | os.PathLike = "runs",
    name: str | None = None,
    jobs: int = 1,
    resume: str | os.PathLike | None = None,
    dry_run: bool = False,
    quiet: bool = False,
    plots: bool = True,
    stack: bool | None = None,
    dask: str | None = None,
    retries: int | None = None,
    allow_code: bool = False,
) -> SweepResult:
    """Run every point of a config's ``sweep``, each in a run folder of its own, and conclude from them all.

    A point that fails is reported at once and at the end, and does not stop the others.

    Args:
        config: a file, a mapping, or a loaded config, with a ``sweep`` section; None with ``resume``.
        device: instead of the config's: ``auto``, ``cpu``, ``cuda``, ``cuda:N``.
        overrides: ``{"train.epochs": 2}`` or ``["train.epochs=2"]``.
        out: the sweep's folder is ``out/<name>/<UTC time>-<id>/``.
        name: instead of the config's.
        jobs: how many points run at the same time, each in a process of its own; 1: one after another in this one.
        resume: the folder of a sweep to go on with: what is finished stays, the rest is run. A config that is given
            as well has to be the same.
        dry_run: say what would run, and run nothing.
        quiet: say nothing but errors.
        plots: draw the sweep's plots and write its report; the points' own are drawn by ``dlcourse report``.
        stack: train points of one architecture as one model, see :mod:`dlcourse.sweeps.stacked`; polynomials by least
            squares are solved together, without run folders, see :mod:`dlcourse.sweeps.closed_form`. None: only these,
            where all can be and they are many.
        dask: run points on a Dask cluster, as many at a time as its workers have threads: its scheduler's address, or
            ``local:4`` for four workers on this machine. All machines share the sweep's folder.
        retries: with ``dask``, how often a point whose worker was lost goes on, from its last checkpoint, on another
            (3).
        allow_code: import the files that the config's ``plugins`` names; those that changed since are imported anew.
    Raises:
        UserError: the config, or a file it names, is wrong, or there is no sweep in it.
        DeviceError: the device is not there.
        Interrupted: SIGINT or SIGTERM; the sweep can be resumed.
    """
    if jobs < 1:
        raise UserError(f"jobs: expected at least 1, got {jobs}")
    if config is None:
        if resume is None:
            raise UserError("sweep needs a config, or a sweep to resume")
        config = SweepFolder.open(resume).config
    if allow_code:
        plugins.reload_changed()
    with plugins.allowing_code(allow_code):
        resolved = resolve(os.fspath(config) if isinstance(config, os.PathLike) else config, overrides)
    resolved = resolved.named(name)
    if resolved.data["sweep"] is None:
        raise UserError(f"{resolved.path or 'the config'}: has no sweep section; `dlcourse run` runs it as it is")
    points = expand(resolved)
    if stack is None and resolved.data["sweep"]["execution"] == "stacked":
        stack = True
    _check_cluster(dask, retries, jobs, stack)
    searching = resolved.data["sweep"]["search"]
    if searching and stack:
        raise UserError("--stacked does not combine with sweep.search, which picks its trials one after another")
    log = Log(None, quiet)
    far = dask is not None and not cluster.is_local(dask)
    here = "cpu" if far else device  # what is left for this machine is little
    if dry_run:
        log(summary.search_plan(searching) if searching else summary.plan(points, resolved.without_sweep()))
        if stack is not False:
            _say_plan(resolved, points, here, stack, log)
        return _result(None, new_state(resolved, points), "planned")
    if searching:
        installed(searching["name"])
    with contextlib.ExitStack() as held:
        chosen = held.enter_context(Options(here).computing(resolved, Log(None, quiet or far)))
        together = _together(resolved, points, chosen, stack)
        workers = None if dask is None else held.enter_context(cluster.connected(dask, retries))
        resampling = _resampling(resolved)
        if resume is not None:
            folder = SweepFolder.open(resume)
            state = resumed_state(folder, resolved, points, log)
        else:
            state = new_state(resolved, points)
            folder = SweepFolder.create(out, state, resolved.dump())
        with folder.lock():
            log = Log(folder.log, quiet)
            log(f"sweep folder: {folder.path}")
            execute = _executor(resolved, points, folder, device, jobs, workers)
            if searching:
                search = Search(resolved, folder, state, device)
                _say_finished(searching["trials"], len(search), log)
                made = execute(search, steering=search)
                _run_points(folder, state, search.todo, log, made, searching["trials"], len(search))
                search.conclude()
            else:
                todo: list[_Todo] = []
                for point, recorded in zip(points, state.points, strict=True):
                    if (action := next_action(folder, state, recorded)) is not None:
                        todo.append((recorded, Task(point.config, str(action[0]), device, action[1], resampling)))
                _say_finished(len(points), len(todo), log)
                if together:
                    todo = _solve_together(folder, state, todo, log, resampling)
                stacking = Stacking(chosen, device) if stack and not together else None
                tasks, names = [task for _, task in todo], [recorded.id for recorded, _ in todo]
                made = execute(tasks) if stacking is None else stacking.events(tasks, names, jobs, log)
                _run_points(folder, state, todo, log, made, len(points), len(todo))
            _finish(folder, state, resampling, log, plots, here)
    return _result(folder.path, state, state.status)


def _check_cluster(dask: str | None, retries: int | None, jobs: int, stack: bool | None) -> None:
    """Refuse what does not go with ``dask``, or only with it."""
    if dask is None:
        if retries is not None:
            raise UserError("retries are of points whose worker was lost: they go with dask only")
        return
    if jobs > 1:
        raise UserError(f"--dask does not combine with --jobs: --dask local:{jobs} has {jobs} workers on this machine")
    if stack:
        message = "--dask does not combine with --stacked, which trains points as one model on this machine"
        raise UserError(f"{message} (--no-stacked turns off what the config says)")
    cluster.check(dask, retries)


def _executor(
    config: Config,
    points: Sequence[Point],
    folder: SweepFolder,
    device: str | None,
    jobs: int,
    workers: Cluster | None,
) -> Callable[..., Iterator[Event]]:
    """What executes tasks, by a ``steering`` if there is one: this process, several, or a cluster's workers."""
    if workers is None:
        return functools.partial(events, jobs=jobs)
    configs = [point.config for point in points] or [config.without_sweep()]  # a search has no points yet
    return functools.partial(workers.events, needs=requirements(configs, device, folder.path))


def _resampling(config: Config) -> Resampling | None:
    """What to do at every point if the sweep resamples; found out, and refused, before anything runs."""
    count = config.data["sweep"]["resample"]
    if not count:
        return None
    data = prepare(config.data["data"], config.data["seed"])
    try:
        resample.check(data)
    except ConfigError as error:
        raise config.locate(error) from error
    inputs = None if data.task == "estimation" else resample.common_inputs(data).tolist()
    return Resampling(resample.seeds(config.data["seed"], count), inputs)


def _together(config: Config, points: Sequence[Point], device: Backend, stack: bool | None) -> bool:
    """Whether all points are solved by one closed form, without run folders."""
    if stack is False or (stack is None and len(points) < closed_form.MIN_POINTS):
        return False
    return all(closed_form.unsupported_reason(point.config.data, device) is None for point in points)


def _solve_together(
    folder: SweepFolder, state: SweepState, todo: list[_Todo], log: Log, resampling: Resampling | None
) -> list[_Todo]:
    """Solve the points that have not begun; returns those that are left, as they need a run of their own."""
    new = [(recorded, task) for recorded, task in todo if task.start == "run"]
    configs = [task.config.data for _, task in new]
    outcomes = closed_form.solve(configs)
    arrays: dict[str, np.ndarray] = {}
    if resampling is not None:
        refitted = closed_form.resampled(configs, resampling.seeds, np.asarray(resampling.inputs))
        for i, (outcome, found) in enumerate(zip(outcomes, refitted, strict=True)):
            if outcome is None or found is None:
                outcomes[i] = None
            else:
                outcome["resample"] = found[0]
                arrays |= _named(new[i][0].id, found[1])
        if arrays:
            before = _arrays_of(folder.resample) if folder.resample.is_file() else {}  # of points solved earlier
            write_bytes(folder.resample, npz(before | arrays))
    solved = set()
    for (recorded, _), outcome in zip(new, outcomes, strict=True):
        if outcome is not None:
            record_outcome(state, recorded, outcome)
            solved.add(recorded.id)
    folder.write(state)
    if new:
        log(
            f"{len(solved)} of {len(state.points)} points solved stacked, without run folders (--no-stacked makes them)"
        )
    return [pair for pair in todo if pair[0].id not in solved]


def _say_plan(config: Config, points: Sequence[Point], device: str | None, stack: bool | None, log: Log) -> None:
    """Say which points are trained, or solved, together."""
    with Options(device).computing(config, Log(None, quiet=True)) as chosen:
        if _together(config, points, chosen, stack):
            log("stacked: the points are solved together, without run folders")
        elif stack:
            found = plan(
                [point.config for point in points], chosen, SharedData(), config.data["sweep"]["resample"] or 0
            )
            for line in found.lines([point.id for point in points]):
                log(line)


def _say_finished(count: int, left: int, log: Log) -> None:
    if left < count:
        log(f"{count - left} of {count} points are finished already")


def _run_points(
    folder: SweepFolder,
    state: SweepState,
    todo: Sequence[_Todo],
    log: Log,
    made: Iterator[Event],
    count: int,
    left: int,
) -> None:
    """Run what is left to do; ``sweep.json`` follows every point.

    Args:
        todo: grows with the events where a search makes its points.
        made: the points, as they start and end.
        count: of all points.
        left: how many of them are not finished.
    """
    state.status, written = "running", 0.0
    progress = Progress(count, count - left, Selection(**state.select).key, log)
    try:
        for kind, index, outcome in made:
            if kind == "note":
                progress.note(outcome["text"])
                continue
            recorded, task = todo[index]
            if kind == "started":
                recorded.status, recorded.error = "running", None
                recorded.folder = folder.relative(Path(task.folder))
                progress.started(recorded.id)
                # For a reader that watches the file; a sweep of quick points need not write everything twice.
                # What a search has drawn is known from there alone.
                if state.search is not None or time.monotonic() - written > _OUTDATED:
                    folder.write(state)
                    written = time.monotonic()
            else:
                record_outcome(state, recorded, outcome)
                recorded.folder = recorded.folder if Path(task.folder).is_dir() else None
                progress.ended(recorded.id, outcome)
                folder.write(state)
                written = time.monotonic()
    except (Interrupted, ClusterError) as error:
        for recorded in state.points:
            recorded.status = "interrupted" if recorded.status == "running" else recorded.status
        state.status = "interrupted"
        folder.write(state)
        hint = f"{error}; to go on: dlcourse sweep --resume {folder.path}"
        if isinstance(error, ClusterError):
            raise ClusterError(hint) from error
        raise Interrupted(hint, error.exit_code - 128) from error
    finally:
        progress.close()


def _finish(
    folder: SweepFolder, state: SweepState, resampling: Resampling | None, log: Log, plots: bool, device: str | None
) -> None:
    """Conclude, write tables and arrays, draw, and say it all."""
    conclude(state)
    if state.config["ensemble"]:
        state.ensembles = ensemble.measured(folder, state, device)
    folder.write(state)
    write_bytes(folder.table, summary.points_csv(state).encode())
    if state.groups:
        write_bytes(folder.groups, summary.groups_csv(state).encode())
    if resampling is not None and resampling.inputs is not None:
        write_bytes(folder.resample, npz(_gather(folder, state, np.asarray(resampling.inputs))))
    log.settle()
    for text in summary.tables(state, shutil.get_terminal_size((160, 24)).columns):
        log(text)
    for line in [*summary.conclusion(state), *summary.baseline(state, folder.path)]:
        log(line)
    if plots:
        draw(folder.path, log)
    quiet = Log(folder.log, quiet=True)
    quiet.settle()
    for line in summary.failures(state.points):
        quiet(line)
        show(line, sys.stderr)
    if state.status == "failed":
        show(f"to run them again: dlcourse sweep --resume {folder.path}", sys.stderr)


def _gather(folder: SweepFolder, state: SweepState, x: np.ndarray) -> dict[str, np.ndarray]:
    """The points' own arrays in one file, in which those of points without a folder are already."""
    places = {point.id: point.folder for point in state.points}
    rows = [row["id"] for row in state.resample["points"]] if state.resample else []
    arrays = {"x": x[:, 0] if x.shape[1:] == (1,) else x}
    if any(places[name] is None for name in rows):
        arrays |= _arrays_of(folder.resample)
    for name in rows:
        if (place := places[name]) is not None:
            arrays |= _named(name, _arrays_of(folder.path / place / ARRAYS))
    return arrays


def _arrays_of(path: Path) -> dict[str, np.ndarray]:
    try:
        return serialize.load(path)
    except CheckpointError as error:
        raise DamagedFileError(f"{error}; delete it, and sweep --resume fits to the training sets anew") from error


def _named(name: str, found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What resampling found at a point, without axes of length one for a single target."""
    pairs = ((key, found[key]) for key in ("outputs", "curve"))
    return {f"{name}.{key}": array[..., 0] if array.shape[-1] == 1 else array for key, array in pairs}


def _result(folder: Path | None, state: SweepState, status: str) -> SweepResult:
    chosen = state.best, state.one_standard_error
    return SweepResult(folder, status, state.points, state.groups, *chosen, state.resample, state.ensembles)
