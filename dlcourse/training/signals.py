"""End a run on a signal: finish the step, save, and stop."""

import contextlib
import signal
import sys
from collections.abc import Callable
from typing import Any

from dlcourse.backend import collectives
from dlcourse.errors import Interrupted
from dlcourse.signals import StopRequest, handle_termination
from dlcourse.training.callback import Callback, Whenever

_STOP = signal.SIGTERM
"""Where another rank received the signal."""


class Signals(Callback):
    """Between ``start`` and ``close`` signals wait for the end of the step; then ``save`` is called.

    Which signals, and what a second one does, says :mod:`dlcourse.signals`. Comes last among the callbacks: what the
    step brought is then logged and evaluated.

    Args:
        save: writes a checkpoint of the trainer.
    """

    due = Whenever()  # what a GPU does at once takes milliseconds

    def __init__(self, save: Callable[[Any], None]):
        self.save = save
        self._request = StopRequest()
        self._inside = contextlib.ExitStack()

    def start(self, trainer: Any) -> None:
        self._request = self._inside.enter_context(handle_termination())
        self._inside.enter_context(self._request.deferred(self._received))

    def _received(self, number: int) -> None:
        collectives.group().stop_requested = number

    def after_step(self, trainer: Any) -> None:
        group = collectives.group()
        # Several ranks end after the same step: the one by which all know of the signal.
        number = self._request.received if group.size == 1 else group.stop_agreed and (self._request.received or _STOP)
        if not number:
            return
        self.save(trainer)
        name = signal.Signals(number).name
        raise Interrupted(f"interrupted by {name} after step {trainer.step}; a checkpoint is written", number)

    def close(self, trainer: Any) -> None:
        self._inside.__exit__(*sys.exc_info())
