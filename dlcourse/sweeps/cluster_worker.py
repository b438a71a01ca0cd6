"""What a Dask worker does for a sweep: it examines itself, runs points in processes of their own, and stops them.

A point has a process (:mod:`~dlcourse.sweeps.worker`) because Dask runs tasks in threads, where no signal arrives. A
worker that is killed closes the pipe of that process, which then writes its checkpoint and ends.
"""

import contextlib
import os
import queue
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dlcourse.resources import cores
from dlcourse.sweeps.processes import Pool, fair_share
from dlcourse.sweeps.requirements import lacking

TOPIC = "dlcourse"
"""The evaluations that a search judges: Dask's events of this topic reach every sweep on the cluster."""

_POLL_SECONDS = 0.5
_IDLE_SECONDS = 10.0

_lock = threading.Lock()
_running: dict[str, "_Process"] = {}  # by the key of the Dask task
_idle: list["_Process"] = []
_stopped: set[str] = set()


def examine(sweep: str, needs: Mapping[str, Any], at_once: int) -> str | None:
    """Why no point of a sweep can run here; None where they can.

    Args:
        sweep: any name of it that is its own.
        needs: its :class:`~dlcourse.sweeps.requirements.Requirements`.
        at_once: how many points run on this machine at the same time.
    """
    reason = lacking(needs)
    if reason is not None or not needs["data"]:
        return reason
    asked = {"device": needs["device"], "data": needs["data"]}
    outcome = run(sweep, {"requirements": asked}, list(needs["plugins"]), at_once)
    return outcome["error"] or (None if outcome["status"] == "done" else outcome["status"])


def run(sweep: str, content: dict[str, Any], files: Sequence[str], at_once: int) -> dict[str, Any]:
    """Run a point in a process: the outcome.

    Args:
        sweep: as of :func:`examine`.
        content: the point's :class:`~dlcourse.sweeps.point.Task`, as JSON.
        files: plugins to load.
        at_once: how many points run on this machine at the same time.
    """
    from distributed import get_worker

    worker = get_worker()
    key = str(worker.get_current_task())
    with _process(sweep, key, files, at_once) as process, _watched(process, worker, key):
        return process.execute(content, worker, key)


def answer(key: str, ends: bool) -> None:
    """Tell a point that waits for it whether its evaluation ends it.

    Args:
        key: of its Dask task.
        ends: whether it does.
    """
    with _lock:
        process = _running.get(key)
    if process is not None:
        process.answers.put(ends)


def stop(sweep: str) -> None:
    """Let the points of a sweep that run here write their checkpoints and end, and start none any more."""
    with _lock:
        _stopped.add(sweep)
        processes = [process for process in (*_running.values(), *_idle) if process.sweep == sweep]
    for process in processes:
        process.stop()


class _Process:
    """A process for points of a sweep, one after another: to start one takes a second.

    It is their :class:`~dlcourse.sweeps.processes.Steering`, which asks the sweep's machine.

    Args:
        sweep: as of :func:`examine`.
        files: plugins to load.
        at_once: how many points run on this machine at the same time.
    """

    def __init__(self, sweep: str, files: Sequence[str], at_once: int):
        self.sweep, self.at_once = sweep, at_once
        self.answers: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._contents: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._pool = Pool(1, fair_share(at_once, os.environ, cores()), steering=self, files=files)
        self._events = self._pool.run(self._tasks())
        self._worker: Any = None
        self._key = ""
        self.stopped = False

    def execute(self, content: dict[str, Any], worker: Any, key: str) -> dict[str, Any]:
        """Run a point, for a task of a Dask worker: the outcome."""
        self._worker, self._key = worker, key
        self._contents.put(content)
        for kind, _, outcome in self._events:
            if kind == "outcome":
                return outcome
        return {"status": "interrupted", "error": None}

    def stop(self) -> None:
        """Let its point write its checkpoint, and end."""
        self.stopped = True
        self._contents.put(None)  # where it waits for a point
        self._pool.stop(signal.SIGTERM)
        self.answers.put(False)  # where its point waits for an answer, which may never come

    def judge(self, index: int, step: int, value: float | None) -> bool:
        if self.stopped:
            return False
        self._worker.log_event(TOPIC, {"key": self._key, "evaluation": [step, value]})
        return self.answers.get()

    def ended(self, index: int, outcome: dict[str, Any]) -> None:
        """The sweep's machine sees that by the task's result."""

    def _tasks(self) -> Iterator[dict[str, Any]]:
        """The points as they come, until none has come for a while."""
        while True:
            try:
                content = self._contents.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                if _no_longer_idle(self):
                    return
                continue  # a point is on its way
            if content is None:
                _no_longer_idle(self)
                return
            yield content


def _no_longer_idle(process: _Process) -> bool:
    with _lock:
        if process not in _idle:
            return False
        _idle.remove(process)
        return True


@contextlib.contextmanager
def _process(sweep: str, key: str, files: Sequence[str], at_once: int) -> Iterator[_Process]:
    """A process for a Dask task: one that is idle, or a new one. :func:`stop` and :func:`answer` find it."""
    with _lock:
        alike = [each for each in _idle if (each.sweep, each.at_once) == (sweep, at_once)]
        if alike:
            _idle.remove(alike[0])
        process = _running[key] = alike[0] if alike else _Process(sweep, files, at_once)
        stopped = sweep in _stopped
    if stopped:
        process.stop()
    try:
        yield process
    finally:
        with _lock:
            del _running[key]
            if not process.stopped:
                _idle.append(process)


@contextlib.contextmanager
def _watched(process: _Process, worker: Any, key: str) -> Iterator[None]:
    """Stop a process when nothing waits for its point any more: its sweep or its scheduler is gone."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_POLL_SECONDS):
            if _is_left(worker, key):
                process.stop()
                return

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def _is_left(worker: Any, key: str) -> bool:
    from distributed.core import Status

    task = worker.state.tasks.get(key)
    closing = worker.status in (Status.closing, Status.closed, Status.failed)
    return closing or task is None or task.state == "cancelled"
