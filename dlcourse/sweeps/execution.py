"""The points of a sweep as a stream of events, one after another here or side by side in processes."""

import signal
import threading
from collections.abc import Iterator, Sequence
from types import FrameType

from dlcourse.errors import Interrupted
from dlcourse.sweeps.point import Task, execute
from dlcourse.sweeps.processes import Event, Pool
from dlcourse.training.signals import SIGNALS


def events(tasks: Sequence[Task], jobs: int) -> Iterator[Event]:
    """Execute all tasks; yields ("started", index, {}) and ("outcome", index, outcome) for each.

    Raises:
        Interrupted: SIGINT or SIGTERM; the points that were running have written their checkpoints.
    """
    return _one_by_one(tasks) if min(jobs, len(tasks)) < 2 else _side_by_side(tasks, min(jobs, len(tasks)))


def _one_by_one(tasks: Sequence[Task]) -> Iterator[Event]:
    for index, task in enumerate(tasks):
        yield "started", index, {}
        yield "outcome", index, execute(task)


def _side_by_side(tasks: Sequence[Task], jobs: int) -> Iterator[Event]:
    """The first signal lets the processes write their checkpoints, a second one ends them at once."""
    pool = Pool(jobs)
    received: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        pool.stop(signal.SIGKILL if received else number)
        received.append(number)

    here = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, handle) for number in SIGNALS} if here else {}
    try:
        yield from pool.run([task.to_json() for task in tasks])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        raise Interrupted(f"interrupted by {signal.Signals(received[0]).name}", received[0])
