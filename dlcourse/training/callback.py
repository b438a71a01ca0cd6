"""Callback: methods that the training loop calls at named points."""

from dataclasses import dataclass
from typing import Any

NEVER = 1 << 60
"""A step that no training reaches."""


@dataclass(frozen=True)
class Every:
    """Due after each step that is a multiple of ``steps``, never where that is 0; with ``first`` after step 1 too.

    With ``start`` after that step, and each ``steps`` from there.
    """

    steps: int
    first: bool = False
    start: int = 0

    def next(self, step: int) -> int:
        """The first due step after this one."""
        if self.first and step == 0:
            return 1
        if step < self.start:
            return self.start
        return step + self.steps - (step - self.start) % self.steps if self.steps else NEVER

    def __contains__(self, step: int) -> bool:
        return self.next(step - 1) == step


class Whenever:
    """Due at no step in particular: after those that the device takes at once, however many."""

    def next(self, step: int) -> int:
        """This step: the callback is due already."""
        return step


class Callback:
    """Base of everything that watches or steers training; a subclass overrides the points it needs.

    Callbacks are called in the order of the trainer's list: one that decides comes before one that saves the decision.
    """

    name = ""
    """The key of its state in a checkpoint; empty: it has none."""
    due: Every | Whenever = Every(1)
    """When :meth:`after_step` is called. A GPU takes short steps several at a time, but never past one that is due."""

    def start(self, trainer: Any) -> None:
        """Before the first step, after a checkpoint was loaded."""

    def after_step(self, trainer: Any) -> None:
        """After a step that is :attr:`due`.

        ``trainer.loss`` is its cost, ``trainer.losses`` are those of all steps taken at once, still on the device.
        """

    def before_sync(self, trainer: Any) -> None:
        """The device is about to be waited for: to log, to evaluate or to save."""

    def after_evaluation(self, trainer: Any) -> None:
        """``trainer.metrics`` are new."""

    def finish(self, trainer: Any) -> None:
        """After the last step."""

    def close(self, trainer: Any) -> None:
        """Whatever happened, give back what is held; called in reverse order."""

    def state_dict(self) -> dict[str, Any]:
        """What has to be known to go on, as plain JSON values."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take what :meth:`state_dict` gave."""
