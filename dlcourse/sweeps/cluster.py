"""Points on a Dask cluster, as ``--dask`` runs them.

Each point is a task for one worker, chosen here: only a worker that was examined gets points, and the point of a worker
that is lost is counted here and goes on, from its last checkpoint, on another.
"""

import contextlib
import itertools
import logging
import operator
import pkgutil
import queue
import re
import time
import uuid
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dlcourse.errors import DlcourseError, UserError, named
from dlcourse.signals import handle_termination
from dlcourse.sweeps import cluster_worker
from dlcourse.sweeps.point import Task, start_again
from dlcourse.sweeps.processes import Event, Steering
from dlcourse.sweeps.requirements import Requirements

_RETRIES = 3
_POLL_SECONDS = 0.5
_CONNECT_SECONDS = 10
_RESULT_SECONDS = 2
_LOCAL = re.compile(r"local:0*([1-9]\d*)")


class ClusterError(DlcourseError):
    """The cluster cannot go on: its scheduler is gone, or no worker of it can run the points. Exit code 1."""


def imported() -> Any:
    """The package ``distributed``, which then says nothing by itself.

    Raises:
        UserError: it is not installed.
    """
    try:
        import distributed
    except ImportError as error:
        message = "--dask needs the package distributed, which is not installed"
        raise UserError(f'{message}: pip install "dlcourse[dask]"') from error
    for name in list(logging.root.manager.loggerDict):
        if name.split(".")[0] in ("distributed", "tornado"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    return distributed


def check(address: str, retries: int | None) -> None:
    """Refuse what ``--dask`` and ``--retries`` cannot mean.

    Raises:
        UserError: says what was expected.
    """
    if retries is not None and retries < 0:
        raise UserError(f"retries: expected at least 0, got {retries}")
    if not address or (address.split(":")[0] == "local" and not is_local(address)):
        raise UserError(f"dask: expected local:N with N of at least 1, or a scheduler's address, got {address!r}")
    imported()


def is_local(address: str) -> bool:
    """Whether the workers are to be started here."""
    return _LOCAL.fullmatch(address) is not None


@contextlib.contextmanager
def connected(address: str, retries: int | None = None) -> Iterator["Cluster"]:
    """The cluster at an address, or for ``local:N`` one of N workers in this process.

    Raises:
        DlcourseError: there is no scheduler.
        UserError: it is no address, or ``distributed`` is not installed.
    """
    distributed, local = imported(), _LOCAL.fullmatch(address)
    with contextlib.ExitStack() as held:
        try:
            target = held.enter_context(_workers_here(distributed, int(local[1]))) if local else address
            client = distributed.Client(target, timeout=_CONNECT_SECONDS, set_as_default=False)
        except OSError as error:
            raise DlcourseError(f"no Dask scheduler answers at {address}: {error}") from error
        except (ValueError, TypeError) as error:
            raise UserError(f"dask: {address!r} is no scheduler's address: {error}") from error
        except Exception as error:  # MemoryError too: Dask takes any bytes for the size of a message
            raise DlcourseError(f"what answers at {address} is no Dask scheduler: {named(error)}") from error
        held.callback(_close, client)
        yield Cluster(client, address, _RETRIES if retries is None else retries)


def _workers_here(distributed: Any, count: int) -> Any:
    """A cluster of workers that are threads: each point has a process of its own anyway, and the user's script is not
    imported again."""
    return distributed.LocalCluster(
        n_workers=count,
        threads_per_worker=1,
        processes=False,
        dashboard_address="127.0.0.1:0",
        memory_limit=0,
        silence_logs=logging.CRITICAL,
    )


def _close(client: Any) -> None:
    with contextlib.suppress(Exception):  # the scheduler may be gone
        client.close(timeout=2)


@dataclass(frozen=True)
class Cluster:
    """A Dask cluster that runs points.

    Attributes:
        client: connected to it.
        address: of its scheduler, for messages.
        retries: how often a point whose worker was lost is given to another.
    """

    client: Any
    address: str
    retries: int

    def events(self, tasks: Iterable[Task], needs: Requirements, steering: Steering | None = None) -> Iterator[Event]:
        """Execute all tasks, each taken as soon as a worker is free for it; yields as
        :func:`dlcourse.sweeps.point.events`, and notes about workers.

        Args:
            tasks: the points.
            needs: of each worker.
            steering: is told each outcome before the next task is taken, and judges the evaluations.
        Raises:
            ClusterError: the scheduler is gone, or no worker can run the points.
            Interrupted: a signal came; the points that were running have written their checkpoints.
        """
        return _Dispatcher(self, needs, steering).events(tasks)


@dataclass
class _Job:
    """What a worker was given: a point, or no index where it is examined."""

    worker: str
    index: int | None = None
    task: Task | None = None
    future: Any = None


class _Dispatcher:
    """Gives the points of one sweep to workers, and follows them. Arguments as of :meth:`Cluster.events`."""

    def __init__(self, cluster: Cluster, needs: Requirements, steering: Steering | None):
        self._cluster, self._client = cluster, cluster.client
        self._needs, self._steering = needs, steering
        self._sweep = uuid.uuid4().hex
        # What comes from Dask's own thread: (key, None) of a job that ended, (key, evaluation) of a point to judge.
        self._messages: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._waiting: Iterator[Task] = iter(())
        self._numbers = itertools.count()
        self._again: deque[tuple[int, Task]] = deque()
        self._lost: Counter[int] = Counter()
        self._jobs: dict[str, _Job] = {}
        self._threads: dict[str, int] = {}
        self._fit: set[str] = set()
        self._refused: set[str] = set()
        self._notes: list[str] = []
        self._looked = 0.0
        self._more = self._stopping = self._noted = self._proven = False

    def events(self, tasks: Iterable[Task]) -> Iterator[Event]:
        self._waiting = iter(tasks)
        self._more = _may_have_more(self._waiting)
        if self._steering is not None:
            self._client.subscribe_topic(cluster_worker.TOPIC, self._hear)
        with handle_termination() as request, request.deferred(lambda number: None):
            try:
                while self._more or self._again or any(job.index is not None for job in self._jobs.values()):
                    if request.received is not None and not self._stopping:
                        self._stop()
                    yield from self._look()
                    yield from self._hand_out()
                    yield from self._collect()
                    while self._notes:
                        yield "note", -1, {"text": self._notes.pop(0)}
                    self._check_workers()
            finally:
                with contextlib.suppress(Exception):  # what is not running any more cannot be canceled
                    self._client.cancel([job.future for job in self._jobs.values()], force=True)

    def _hear(self, event: tuple[float, dict[str, Any]]) -> None:
        """A point's evaluation, perhaps of another sweep on this cluster."""
        _, content = event
        self._messages.put((content["key"], content["evaluation"]))

    def _look(self) -> Iterator[Event]:
        """See from time to time which workers have come, and which have gone."""
        if time.monotonic() - self._looked < _POLL_SECONDS:
            return
        if self._client.status != "running":
            raise self._gone()
        try:
            now = dict(self._client.nthreads())
        except Exception as error:
            raise self._gone() from error
        self._looked = time.monotonic()
        before, self._threads = self._threads, now
        for worker in before.keys() - now.keys():
            self._fit.discard(worker)
            self._refused.discard(worker)
            for key in [key for key, job in self._jobs.items() if job.worker == worker]:
                yield from self._lose(self._jobs.pop(key), "the worker has left the cluster")
        for worker in now.keys() - before.keys():
            # By a function of Python's own: a worker without dlcourse cannot read a task that names ours.
            self._submit(_Job(worker), pkgutil.resolve_name, f"{cluster_worker.__name__}:examine")

    def _check_workers(self) -> None:
        """Where no worker is left that may run points: say that they wait, or give up if none ever could."""
        if self._jobs or not (self._more or self._again):
            return
        if self._threads.keys() - self._refused:
            self._noted = False
            return
        address = self._cluster.address
        if self._threads and not self._proven:
            raise ClusterError(f"no worker at {address} can run the points (the reasons are above)")
        if not self._noted:
            self._notes.append(f"no worker at {address} that can run points; waiting for one")
            self._noted = True

    def _hand_out(self) -> Iterator[Event]:
        """Give points to the workers that are free."""
        for worker in self._free():
            found = self._next()
            if found is None:
                return
            index, task = found
            content = replace(task, folder=str(Path(task.folder).absolute())).to_json()
            arguments = self._sweep, content, list(self._needs.plugins), self._at_once(worker)
            self._submit(_Job(worker, index, task), cluster_worker.run, *arguments)
            yield "started", index, {}

    def _free(self) -> Iterator[str]:
        """Workers with a thread that has nothing to do, as often as they have such threads, the emptiest first."""
        busy = Counter(job.worker for job in self._jobs.values())
        places = [(number, worker) for worker in self._fit for number in range(busy[worker], self._threads[worker])]
        return (worker for _, worker in sorted(places))

    def _next(self) -> tuple[int, Task] | None:
        if self._again:
            return self._again.popleft()
        task = next(self._waiting, None) if self._more else None
        self._more = task is not None and _may_have_more(self._waiting)
        return None if task is None else (next(self._numbers), task)

    def _at_once(self, worker: str) -> int:
        """How many points run at the same time on the machine of a worker."""
        host = _host(worker)
        return sum(threads for other, threads in self._threads.items() if _host(other) == host)

    def _submit(self, job: _Job, function: Any, *arguments: Any) -> None:
        key = f"dlcourse-{uuid.uuid4().hex}"
        self._jobs[key] = job
        job.future = self._client.submit(function, *arguments, workers=[job.worker], pure=False, key=key)
        job.future.add_done_callback(lambda done: self._messages.put((done.key, None)))

    def _collect(self) -> Iterator[Event]:
        """Wait a moment for a message, and say what came of it."""
        try:
            key, evaluation = self._messages.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            return
        if key not in self._jobs:  # its worker was lost before
            return
        if evaluation is not None:
            self._judge(key, evaluation)
        elif self._client.status != "running":
            raise self._gone()
        else:
            yield from self._end(key, self._jobs.pop(key))

    def _judge(self, key: str, evaluation: tuple[int, float | None]) -> None:
        """Answer a point, which waits for it, whether it is to end."""
        job = self._jobs[key]
        assert self._steering is not None and job.index is not None
        ends = self._steering.judge(job.index, *evaluation)
        try:
            self._client.run(cluster_worker.answer, key, ends, workers=[job.worker])
        except Exception:  # tried again, until it is heard or _look() sees that the worker, or the scheduler, is gone
            self._messages.put((key, evaluation))

    def _end(self, key: str, job: _Job) -> Iterator[Event]:
        """A job has come to its end."""
        try:
            outcome = job.future.result(timeout=_RESULT_SECONDS)
        except Exception as error:  # KilledWorker, a result that was lost with its worker, no dlcourse there
            if isinstance(error, TimeoutError) and job.future.status == "finished":  # a slow worker still sends it
                self._jobs[key] = job
                self._messages.put((key, None))
            elif job.index is None:
                self._refuse(job.worker, f"it cannot run dlcourse {self._needs.program[0]}: {named(error)}")
            else:
                yield from self._lose(job, named(error))
            return
        if job.index is None:
            self._examined(job.worker, outcome)
        elif outcome.pop("lost", False) or (outcome["status"] == "interrupted" and not self._stopping):
            yield from self._lose(job, outcome["error"] or "it was told to stop")
        else:
            yield self._outcome(job.index, outcome)

    def _outcome(self, index: int, outcome: dict[str, Any]) -> Event:
        if self._steering is not None:
            self._steering.ended(index, outcome)
        return "outcome", index, outcome

    def _examined(self, worker: str, outcome: Any) -> None:
        """A worker has dlcourse, or can run points, or says why not."""
        if callable(outcome):
            self._submit(_Job(worker), outcome, self._sweep, self._needs.to_json(), self._at_once(worker))
        elif outcome is None:
            self._fit.add(worker)
            self._proven = True
        elif not self._stopping:
            self._refuse(worker, outcome)

    def _refuse(self, worker: str, reason: str) -> None:
        if worker in self._threads:
            self._refused.add(worker)
            self._notes.append(f"worker {worker} gets no points: {reason.splitlines()[0]}")

    def _lose(self, job: _Job, reason: str) -> Iterator[Event]:
        """A worker, or the point's process on it, is gone: the point goes on elsewhere, or has failed."""
        if job.index is None or job.task is None:
            return
        if self._stopping:
            yield self._outcome(job.index, {"status": "interrupted", "error": None})
            return
        self._lost[job.index] += 1
        count, retries = self._lost[job.index], self._cluster.retries
        if count > retries:
            error = f"lost {count} time{'s' * (count != 1)}, at last at worker {job.worker}: {reason}"
            yield self._outcome(job.index, {"status": "failed", "error": error})
            return
        point = Path(job.task.folder).name
        retry = f"it goes on at a free one (retry {count} of {retries})"
        self._notes.append(f"point {point} was lost at worker {job.worker} ({reason}); {retry}")
        self._again.append((job.index, replace(job.task, start=start_again(job.task))))

    def _stop(self) -> None:
        """Ask the workers to let the running points write their checkpoints; start nothing more."""
        self._stopping, self._more = True, False
        self._again.clear()
        workers = sorted({job.worker for job in self._jobs.values()} & self._threads.keys())
        if workers:
            with contextlib.suppress(Exception):  # a worker, or the scheduler, is gone: _look() sees it
                self._client.run(cluster_worker.stop, self._sweep, workers=workers, on_error="ignore")

    def _gone(self) -> ClusterError:
        return ClusterError(f"the Dask scheduler at {self._cluster.address} is gone")


def _may_have_more(tasks: Iterator[Task]) -> bool:
    """Whether more may come: a list's iterator knows, that of a search does not."""
    return operator.length_hint(tasks, 1) > 0


def _host(worker: str) -> str:
    from distributed.comm.addressing import get_address_host

    return get_address_host(worker)
