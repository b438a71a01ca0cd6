"""Callback: what is called at the named points of the training loop."""

from typing import Any


class Callback:
    """Base of everything that watches or steers training; a subclass overrides the points it needs.

    Callbacks are called in the order of the trainer's list: one that decides comes before one that saves the decision.
    """

    name = ""
    """The key of its state in a checkpoint; empty: it has none."""

    def start(self, trainer: Any) -> None:
        """Before the first step, after a checkpoint was loaded."""

    def after_step(self, trainer: Any) -> None:
        """After each update; ``trainer.loss`` is still on the device."""

    def before_read(self, trainer: Any) -> None:
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
