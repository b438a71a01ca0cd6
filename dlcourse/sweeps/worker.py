"""One process of ``sweep --jobs N``: takes points as JSON lines on stdin, answers with their outcomes on stdout. Of a
search it first sends each evaluation, and is answered whether it ends the point.

The parent is gone, or wants an end, when stdin closes: then the point that is running writes its checkpoint and stops.
"""

import contextlib
import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any, TextIO

from dlcourse import plugins
from dlcourse.errors import Interrupted
from dlcourse.signals import handle_termination, leave_with
from dlcourse.sweeps.point import Task, execute
from dlcourse.sweeps.requirements import lacking_data
from dlcourse.training.monitor import Judge


def main() -> None:
    """Work until stdin closes; the first line says which plugins to load, each further one is a task."""
    # Whatever a point prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    code = 0
    with handle_termination():
        try:
            _work(answers)
        except Interrupted as error:  # between two points nothing is worth keeping
            code = error.exit_code
    leave_with(code)


def _work(answers: TextIO) -> None:
    for path in json.loads(sys.stdin.readline())["plugins"]:
        plugins.load(path)
    busy = threading.Event()
    messages = _messages(busy)

    def judge(step: int, value: float | None) -> bool:
        _answer(answers, {"evaluation": [step, value]})
        return next(messages, {"ends": False})["ends"]  # without an answer the parent is gone, and SIGTERM comes

    for task in messages:
        busy.set()
        try:
            outcome = _outcome(task, judge)
        except Interrupted as error:
            _answer(answers, {"status": "interrupted", "error": str(error)})
            raise
        busy.clear()
        _answer(answers, outcome)


def _outcome(content: dict[str, Any], judge: Judge) -> dict[str, Any]:
    """Of a point, or of the question whether points can run here."""
    if "requirements" in content:
        reason = lacking_data(**content["requirements"])
        return {"status": "failed" if reason else "done", "error": reason}
    return execute(Task.from_json(content), judge)


def _messages(busy: threading.Event) -> Iterator[dict[str, Any]]:
    """The tasks, and what a search says of their evaluations, as they come: a thread reads them, which also sees
    while a point runs that the parent is gone."""
    tasks: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    try:
        threading.Thread(target=_read, args=(tasks, busy), daemon=True).start()
    except RuntimeError:  # the system starts no more threads
        yield from map(json.loads, sys.stdin)
        return
    while (task := tasks.get()) is not None:
        yield task


def _answer(answers: TextIO, outcome: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):  # the parent is gone: SIGTERM comes from the thread that reads
        answers.write(json.dumps(outcome) + "\n")
        answers.flush()


def _read(tasks: "queue.SimpleQueue[dict[str, Any] | None]", busy: threading.Event) -> None:
    try:
        for line in sys.stdin:
            tasks.put(json.loads(line))
    finally:  # also where a line cannot be read: nothing more comes
        tasks.put(None)
        if busy.is_set():
            os.kill(os.getpid(), signal.SIGTERM)
