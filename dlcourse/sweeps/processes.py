"""Points side by side in processes of their own.

Plain processes that speak JSON lines, instead of :mod:`multiprocessing`: each starts with the environment that it needs
before NumPy is imported, nothing is forked with threads or a CUDA context in it, the user's script is not imported a
second time, and a process that the system kills takes one point with it and not the pool.
"""

import contextlib
import json
import operator
import os
import queue
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, Any, Protocol

from dlcourse import plugins
from dlcourse.errors import DlcourseError, named
from dlcourse.resources import cores
from dlcourse.signals import SIGNALS

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from dlcourse.sweeps.worker import main; main()"

Event = tuple[str, int, dict[str, Any]]
"""("started", index of the task, {}), ("outcome", index, the outcome), or of a cluster ("note", -1, {"text": ...})."""


class Steering(Protocol):
    """Follows tasks, in the threads of a :class:`Pool`: what it says decides what the next ones are."""

    def judge(self, index: int, step: int, value: float | None) -> bool:
        """Whether a task is to end, by an evaluation; see :data:`~dlcourse.training.monitor.Judge`."""

    def ended(self, index: int, outcome: dict[str, Any]) -> None:
        """A task has this outcome."""


def fair_share(jobs: int, environment: Mapping[str, str], processors: int) -> dict[str, str]:
    """The environment of one of so many processes: the processors shared equally between their BLAS threads, or fewer
    threads where the user has asked for fewer."""
    share = max(1, processors // jobs)
    shared = dict(environment)
    for name in _THREADS:
        wanted = environment.get(name, "")
        shared[name] = str(min(share, int(wanted))) if wanted.isdigit() and int(wanted) > 0 else str(share)
    return shared


class Pool:
    """Runs tasks in processes; iterate over :meth:`run` to see them start and end.

    Args:
        jobs: how many processes at most.
        environment: of the processes; by default this one's with a :func:`fair_share` of threads.
        steering: sees the tasks' evaluations and outcomes.
        files: plugins that the processes load; by default those that are loaded here.
    """

    def __init__(
        self,
        jobs: int,
        environment: Mapping[str, str] | None = None,
        steering: Steering | None = None,
        files: Sequence[str] | None = None,
    ):
        self.jobs, self.steering = jobs, steering
        self._files = plugins.loaded() if files is None else list(files)
        self.environment = dict(environment or fair_share(jobs, os.environ, cores()))
        self.events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._waiting: Iterator[tuple[int, dict[str, Any]]] = iter(())
        # Reentrant: a signal handler may call stop() while the main thread is in it.
        self._lock = threading.RLock()
        self._workers: set[subprocess.Popen] = set()
        self._stopped = False

    def run(self, tasks: Iterable[dict[str, Any]]) -> Iterator[Event]:
        """Execute all tasks, each taken when a process is free; an exception in the loop over the events ends the
        processes, at once.

        A process that dies, or cannot be started, gives its task the outcome ``{"status": "failed", "error": ...}``;
        after :meth:`stop` it is ``{"status": "interrupted"}``. ``lost`` is true where a signal ended the process.

        Raises:
            DlcourseError: not even one thread could be started.
        """
        self._waiting = iter(enumerate(tasks))
        count = min(self.jobs, operator.length_hint(tasks, self.jobs))
        threads = _started([threading.Thread(target=self._serve, daemon=True) for _ in range(count)])
        working = len(threads)
        try:
            while working:
                event = self.events.get()
                if event is None:
                    working -= 1
                else:
                    yield event
        finally:
            if working:
                self.stop(signal.SIGKILL)
            for thread in threads:
                thread.join()

    def stop(self, signum: int) -> None:
        """Start nothing more and send the running processes a signal: on SIGTERM they write a checkpoint and end."""
        with self._lock:
            self._stopped = True
            for process in self._workers:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signum)

    def _serve(self) -> None:
        """One thread for one process at a time: hand it tasks and pass its answers on."""
        process = None
        try:
            for index, content in iter(self._take, None):
                self.events.put(("started", index, {}))
                process, outcome = self._execute(process, index, content)
                if self.steering is not None:
                    self.steering.ended(index, outcome)
                self.events.put(("outcome", index, outcome))
        finally:
            try:
                if process is not None:
                    self._end(process)
            finally:
                self.events.put(None)  # Whatever happens: run() waits for it.

    def _execute(
        self, process: subprocess.Popen | None, index: int, content: dict[str, Any]
    ) -> tuple[subprocess.Popen | None, dict[str, Any]]:
        """Give a task to this process, or to a new one: the process if it lives on, and the outcome.

        Whatever goes wrong here is the outcome of this task: the thread lives on for the others.
        """
        try:
            process = process or self._start()
        except Exception as error:  # such as EMFILE, ENOMEM, or an interpreter that may not be executed
            reason = error.strerror or error if isinstance(error, OSError) else named(error)
            return None, {"status": "failed", "error": f"no process could be started for it: {reason}"}
        if process is None:
            return None, {"status": "interrupted", "error": None}
        try:
            outcome = _ask(process, content)
            while outcome is not None and "evaluation" in outcome:
                ends = self.steering is not None and self.steering.judge(index, *outcome["evaluation"])
                outcome = _ask(process, {"ends": ends})
        except Exception as error:  # a broken pipe, an answer that cannot be read, a task that cannot be sent
            process.kill()
            self._end(process)
            message = f"its process could not be talked to: {named(error)}"
            return None, {"status": "failed", "error": message, "traceback": traceback.format_exc()}
        if outcome is None:
            return None, self._died(process)
        if outcome["status"] == "interrupted":  # it got a signal, and ends
            self._end(process)
            return None, outcome
        return process, outcome

    def _take(self) -> tuple[int, dict[str, Any]] | None:
        with self._lock:
            return None if self._stopped else next(self._waiting, None)

    def _start(self) -> subprocess.Popen | None:
        """A new process, in a session of its own so that the terminal's Ctrl-C reaches it once, through us."""
        with self._lock:
            if self._stopped:
                return None
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", _START, json.dumps(sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=self.environment,
                start_new_session=True,
                encoding="utf-8",
            )
            self._workers.add(process)
        _send(process, {"plugins": self._files})
        return process

    def _died(self, process: subprocess.Popen) -> dict[str, Any]:
        self._end(process)
        if self._stopped:
            return {"status": "interrupted", "error": None}
        code = process.returncode
        if code - 128 in SIGNALS or -code in SIGNALS:  # it got the signal that comes to us next, or it alone
            return {"status": "interrupted", "error": f"its process was ended by {_name(code)}"}
        how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        hint = "; the system may have been out of memory" if code == -signal.SIGKILL else ""
        return {"status": "failed", "error": f"its process ended {how}{hint}", "lost": code < 0}

    def _end(self, process: subprocess.Popen) -> None:
        """Let a process go, which ends itself when nothing can come any more, and wait until it has."""
        with contextlib.suppress(BrokenPipeError):
            _pipe(process.stdin).close()
        process.wait()
        _pipe(process.stdout).close()
        with self._lock:
            self._workers.discard(process)


def _name(code: int) -> str:
    return signal.Signals(-code if code < 0 else code - 128).name


def _started(threads: Sequence[threading.Thread]) -> list[threading.Thread]:
    """Start threads, as many as the system allows; those that run."""
    running: list[threading.Thread] = []
    for thread in threads:
        try:
            thread.start()
        except RuntimeError as error:  # "can't start new thread"
            if not running:
                raise DlcourseError(f"the system starts no more threads ({error}); --jobs 1 needs none") from error
            break
        running.append(thread)
    return running


def _pipe(pipe: IO[str] | None) -> IO[str]:
    """The process's pipe: each is started with two."""
    assert pipe is not None
    return pipe


def _send(process: subprocess.Popen, content: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):  # it has died, as the missing answer will say
        pipe = _pipe(process.stdin)
        pipe.write(json.dumps(content) + "\n")
        pipe.flush()


def _ask(process: subprocess.Popen, content: dict[str, Any]) -> dict[str, Any] | None:
    """Send a task, or what was asked about it, and wait for the answer: its outcome, or an evaluation of which to say
    whether it ends the task; None if the process has died."""
    _send(process, content)
    answer = _pipe(process.stdout).readline()
    return json.loads(answer) if answer.endswith("\n") else None
