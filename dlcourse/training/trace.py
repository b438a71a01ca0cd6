"""Record the numbers in which a model shows where training stands, such as the place on a surface."""

from typing import Any

from dlcourse.training.callback import Callback, Every
from dlcourse.training.history import History


class Trace(Callback):
    """Writes a ``trace`` line at the start and at log points, with what :meth:`dlcourse.models.base.Model.trace` gives.

    Args:
        log_every: steps between lines.
        history: where the lines go.
    """

    def __init__(self, log_every: int, history: History):
        self.due, self.history = Every(log_every, first=True), history

    def start(self, trainer: Any) -> None:
        if trainer.step == 0:
            self.after_step(trainer)

    def after_step(self, trainer: Any) -> None:
        self.history.record(trainer, "trace", point=trainer.model.trace())
