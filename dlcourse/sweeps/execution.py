"""The points of a sweep as a stream of events, one after another here or side by side in processes."""

import signal
from collections.abc import Iterator, Sequence

from dlcourse.signals import handle_termination
from dlcourse.sweeps.point import Task, execute
from dlcourse.sweeps.processes import Event, Pool


def events(tasks: Sequence[Task], jobs: int) -> Iterator[Event]:
    """Execute all tasks; yields ("started", index, {}) and ("outcome", index, outcome) for each.

    Raises:
        Interrupted: a signal came; the points that were running have written their checkpoints.
    """
    return _one_by_one(tasks) if min(jobs, len(tasks)) < 2 else _side_by_side(tasks, min(jobs, len(tasks)))


def _one_by_one(tasks: Sequence[Task]) -> Iterator[Event]:
    for index, task in enumerate(tasks):
        yield "started", index, {}
        yield "outcome", index, execute(task)


def _side_by_side(tasks: Sequence[Task], jobs: int) -> Iterator[Event]:
    """The first signal lets the processes write their checkpoints; what ends the work at once ends them at once.

    They are sent SIGTERM, whatever came: it is the same request to one that got the signal itself.
    """
    pool = Pool(jobs)
    with handle_termination() as request, request.deferred(lambda number: pool.stop(signal.SIGTERM)):
        yield from pool.run([task.to_json() for task in tasks])
