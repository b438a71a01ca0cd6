"""One point of a sweep: an ordinary run in a folder of its own, and the resampling that a sweep may ask for."""

import functools
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from dlcourse.backend import get
from dlcourse.config import Config, from_mapping
from dlcourse.errors import BusyError, CheckpointError, DivergenceError, DlcourseError, named
from dlcourse.experiment import Options, fit_all, resume_run, run
from dlcourse.experiment.runner import new_run
from dlcourse.signals import handle_termination
from dlcourse.streams import show
from dlcourse.sweeps import closed_form, resample
from dlcourse.sweeps.folder import ARRAYS, FINISHED, free_place, known_result
from dlcourse.sweeps.processes import Event, Pool, Steering
from dlcourse.tensorfile import npz
from dlcourse.text import flat_metrics
from dlcourse.training.atomic import finite, write_bytes
from dlcourse.training.folder import RunFolder
from dlcourse.training.monitor import Judge

WAIT_SECONDS = 600.0  # for a process that finishes a long step before it sees that its sweep is gone
_POLL_SECONDS = 0.2

Start = Literal["run", "resume", "skip"]


@dataclass(frozen=True)
class Resampling:
    """What to do beside the run: fit these many training sets.

    Attributes:
        seeds: of the training sets.
        inputs: where the fits are compared, as nested lists; None for estimators.
        at_once: how many fits are trained as one model.
    """

    seeds: list[int]
    inputs: list[Any] | None
    at_once: int = 1


@dataclass(frozen=True)
class Task:
    """All that a process has to know to execute a point.

    Attributes:
        config: the point's.
        folder: where its run goes, or lies.
        device: instead of the config's.
        start: run it anew, go on from its checkpoint, or keep the run as it is, which came to its end.
        resampling: what comes after the run; None for nothing.
        judged: whether a search sees its evaluations, and may end it.
    """

    config: Config
    folder: str
    device: str | None = None
    start: Start = "run"
    resampling: Resampling | None = None
    judged: bool = False

    def to_json(self) -> dict[str, Any]:
        """For another process."""
        config: dict[str, Any] = {key: getattr(self.config, key) for key in ("given", "text", "overrides")}
        config["locations"] = list(self.config.locations.items())
        resampling = None if self.resampling is None else asdict(self.resampling)
        return {**vars(self), "config": config, "resampling": resampling}

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> "Task":
        """What :meth:`to_json` gave."""
        given, text, overrides, found = (state["config"][key] for key in ("given", "text", "overrides", "locations"))
        locations = {tuple(path): tuple(place) for path, place in found}
        config = replace(from_mapping(given), text=text, overrides=overrides, locations=locations)
        resampling = state["resampling"] and Resampling(**state["resampling"])
        return cls(**{**state, "config": config, "resampling": resampling})


def execute(task: Task, judge: Judge | None = None) -> dict[str, Any]:
    """Run the point and say what came of it.

    Args:
        judge: of a search, for a task that is ``judged``.
    Returns:
        ``status`` ("done", "diverged", "pruned" or "failed"), ``error``, ``traceback`` of an error that is ours, and
        where the run got so far ``metrics`` (flat, such as ``val.mse``), ``parameters``, ``flops``, ``seconds`` and
        ``resample``.
    Raises:
        Interrupted: SIGINT or SIGTERM; the run has written a checkpoint.
    """
    more = {}
    try:
        _run(task, judge)
        if task.resampling is not None:
            more["resample"] = resampled(task, task.resampling)
    except Exception as error:  # a point that fails does not stop the others, whatever is wrong with it
        return outcome_of(task.folder, error)
    return outcome_of(task.folder) | more


def outcome_of(folder: str | os.PathLike, error: BaseException | None = None) -> dict[str, Any]:
    """What came of the run in a folder, as :func:`execute` has it.

    Args:
        error: what ended it before its end.
    """
    outcome: dict[str, Any] = {"status": "done", "error": None}
    if isinstance(error, DivergenceError):
        outcome |= {"status": "diverged", "error": error.facts}  # a sweep names the advice once for all its points
    elif error is not None:
        outcome |= {"status": "failed", "error": named(error)}
        if not isinstance(error, DlcourseError):
            outcome["traceback"] = "".join(traceback.format_exception(error))
    result = known_result(folder)
    if error is None and result.get("pruned") is not None:
        outcome["status"] = "pruned"
    return outcome | read_outcome(result)


class Tasks(Protocol):
    """Tasks in order, of which the next may be made from what came of those before."""

    def __len__(self) -> int:
        """How many there are, or will be at most."""

    def __iter__(self) -> Iterator[Task]: ...


def events(tasks: Tasks, jobs: int, steering: Steering | None = None) -> Iterator[Event]:
    """Execute all tasks; yields ("started", index, {}) and ("outcome", index, outcome) for each.

    Args:
        steering: is told each outcome before the next task is taken, and judges the evaluations.
    Raises:
        Interrupted: a signal came; the points that were running have written their checkpoints.
    """
    jobs = min(jobs, len(tasks))
    if jobs > 1:
        yield from _side_by_side(tasks, jobs, steering)
        return
    for index, task in enumerate(tasks):
        yield "started", index, {}
        if steering is None:
            outcome = execute(task)
        else:
            outcome = execute(task, functools.partial(steering.judge, index))
            steering.ended(index, outcome)
        yield "outcome", index, outcome


def _side_by_side(tasks: Tasks, jobs: int, steering: Steering | None) -> Iterator[Event]:
    """The first signal lets the processes write their checkpoints; what ends the work at once ends them at once.

    They are sent SIGTERM, whatever came: it is the same request to one that got the signal itself.
    """
    pool = Pool(jobs, steering=steering)
    with handle_termination() as request, request.deferred(lambda number: pool.stop(signal.SIGTERM)):
        yield from pool.run(task.to_json() for task in tasks)


def start_again(task: Task) -> Start:
    """How to start a point that may have begun in its folder already."""
    if known_result(task.folder).get("status") in FINISHED:
        return "skip"
    return "resume" if RunFolder(task.folder).config.is_file() else task.start


FACTS = ("parameters", "flops", "seconds")
"""What a sweep keeps of a run beside its metrics."""


def read_outcome(result: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of a run's ``result.json`` as a sweep keeps them."""
    if not result:
        return {}
    metrics = flat_metrics(result.get("metrics", {}))
    return {"metrics": finite(metrics), **{key: result.get(key) for key in FACTS}}


def _run(task: Task, judge: Judge | None) -> None:
    """Run the point; where a process of a sweep that was killed is still at its last step there, wait for it."""
    start, deadline = task.start, time.monotonic() + WAIT_SECONDS
    noted = False
    while True:
        try:
            return _run_once(task, start, judge if task.judged else None)
        except BusyError:
            if time.monotonic() > deadline or not RunFolder(task.folder).config.is_file():
                raise
        start = "resume"
        if not noted:
            print(f"dlcourse: note: {task.folder}: another process is still running there; waiting", file=sys.stderr)
            noted = True
        time.sleep(_POLL_SECONDS)


def _run_once(task: Task, start: Start, judge: Judge | None) -> None:
    if start == "skip":
        result = RunFolder(task.folder).read_result()
        if result.get("status") == "diverged":
            raise DivergenceError(result.get("error") or "diverged")
        return
    options = Options(task.device, quiet=True, plots=False, judge=judge)
    if start == "resume":
        try:
            resume_run(task.folder, options=options)
            return
        except CheckpointError:
            # Nothing in it can be gone on from; what is there stays beside the new attempt.
            broken = Path(task.folder)
            broken.rename(free_place(broken))
    if judge is not None:
        new_run(task.config, task.folder, options)
        return
    run(task.config, device=task.device, folder=task.folder, quiet=True, plots=False)


def resampled(task: Task, resampling: Resampling) -> dict[str, Any]:
    """What the fits to training sets drawn anew say, as in ``sweep.json``; their arrays go into the point's folder."""

    def note(text: str) -> None:
        show(f"dlcourse: note: {task.folder}: {text}", sys.stderr)

    every = functools.partial(fit_all, device=task.device, at_once=resampling.at_once, note=note)
    if resampling.inputs is None:
        return resample.estimators(task.config.data, resampling.seeds, every)
    x = np.asarray(resampling.inputs)
    solved = _solved(task, resampling.seeds, x)
    record, arrays = solved or resample.curves(task.config.data, resampling.seeds, x, every)
    content = npz({name: array.astype(np.float32) for name, array in arrays.items()})
    write_bytes(Path(task.folder) / ARRAYS, content)
    return record


def _solved(task: Task, seeds: list[int], x: np.ndarray) -> Any:
    """What :func:`~dlcourse.sweeps.resample.curves` finds, of fits that one closed form solves together; else None."""
    config = task.config.data
    if closed_form.unsupported_reason(config, get(task.device or config["device"])) is not None:
        return None
    return closed_form.resampled([config], seeds, x)[0]
