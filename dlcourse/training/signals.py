"""SIGINT and SIGTERM: finish the step, save, and leave; a second one leaves at once."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from dlcourse.errors import Interrupted
from dlcourse.training.callback import ENDLESS, Callback

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Signals(Callback):
    """Between ``start`` and ``close`` the two signals wait for the end of the step; then ``save`` is called.

    Comes last among the callbacks: what the step brought is then logged and evaluated. In a thread other than the main
    one Python knows no signal handlers, and nothing is done.

    Args:
        save: writes a checkpoint of the trainer.
    """

    def __init__(self, save: Callable[[Any], None]):
        self.save = save
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def start(self, trainer: Any) -> None:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in SIGNALS}

    def patience(self, trainer: Any) -> int:
        return ENDLESS  # what a GPU does at once takes milliseconds

    def after_step(self, trainer: Any) -> None:
        if self.received is None:
            return
        self.save(trainer)
        name = signal.Signals(self.received).name
        raise Interrupted(f"interrupted by {name} after step {trainer.step}; a checkpoint is written", self.received)

    def close(self, trainer: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            raise Interrupted(f"interrupted twice, the second time by {signal.Signals(number).name}", number)
        self.received = number


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Outside the loop, where there is nothing to finish: both signals end the work at once, with their exit codes.

    Raises:
        Interrupted: one of them came.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        raise Interrupted(f"interrupted by {signal.Signals(number).name}", number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, leave) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
