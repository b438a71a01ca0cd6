"""Callback: methods that the training loop calls at named points."""

from typing import Any

NEVER = 1 << 30
"""The patience of a callback to which it is all the same."""


def until_multiple(step: int, every: int) -> int:
    """Steps from this one to the next that is a multiple of ``every``; endless where that is 0."""
    return every - step % every if every else NEVER


class Callback:
    """Base of everything that watches or steers training; a subclass overrides the points it needs.

    Callbacks are called in the order of the trainer's list: one that decides comes before one that saves the decision.
    """

    name = ""
    """The key of its state in a checkpoint; empty: it has none."""

    def start(self, trainer: Any) -> None:
        """Before the first step, after a checkpoint was loaded."""

    def patience(self, trainer: Any) -> int:
        """How many steps may be taken before :meth:`after_step` has to be called: at least 1, which is the default.

        A GPU runs short steps several at a time; the least patient callback says how many.
        """
        return 1

    def after_step(self, trainer: Any) -> None:
        """After each update, or after as many as all have :meth:`patience` for: ``trainer.losses`` are their costs,
        ``trainer.loss`` that of the last, still on the device."""

    def before_sync(self, trainer: Any) -> None:
        """Somebody is about to wait for the device: to log, to evaluate or to save."""

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
