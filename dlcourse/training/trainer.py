"""The training loop; everything that is not a step is a callback."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlcourse.autograd import Tensor
from dlcourse.backend.device import Array
from dlcourse.training.callback import Callback

POINTS = ("start", "before_sync", "after_evaluation", "finish", "close")


class Trainer:
    """Takes steps until there are enough or a callback stops it.

    Args:
        model: the module, switched to training mode at the start.
        train_step: ``train_step(x, y)`` does one update and returns the loss, see
            :class:`~dlcourse.training.step.TrainStep` and :class:`~dlcourse.training.closed_form.ClosedFormStep`; its
            ``runner`` says how many are done at once.
        loader: ``loader.batch(step)`` gives the batch of a step, a function of the step alone;
            ``loader.device_batches``, where there is one, lets a GPU make it, see ``dlcourse/data/device_batches.py``.
        total_steps: when training is done.
        callbacks: called in this order at each point, at ``close`` in reverse.

    Attributes:
        losses: those of the steps just taken, an array (k,) on the device; None where a closed form has none.
        metrics: the last evaluation, ``{split: {metric: value}}``.
        stop_reason: why a callback stopped training; None while it goes on or has reached the last step.
    """

    def __init__(self, model: Any, train_step: Any, loader: Any, total_steps: int, callbacks: Sequence[Callback] = ()):
        self.model, self.train_step, self.loader, self.total_steps = model, train_step, loader, total_steps
        self.callbacks = list(callbacks)
        self.losses: Array | None = None
        self.metrics: dict[str, dict[str, float]] = {}
        self.stop_reason: str | None = None
        # Only what a callback overrides is called: a point that is not used costs nothing in the loop.
        self._calls = {point: [getattr(c, point) for c in self.callbacks if _overrides(c, point)] for point in POINTS}
        self._calls["close"].reverse()
        self._watching = [callback for callback in self.callbacks if _overrides(callback, "after_step")]

    def run(self) -> None:
        """Train from the step that ``train_step`` has reached."""
        try:
            self.begin()
            # What overflows is DivergenceGuard's to find; NumPy's warnings would come first and say less.
            with np.errstate(all="ignore"):
                while not self.done:
                    self._advance()
            self.call("finish")
        finally:
            self.call("close")

    def begin(self) -> None:
        """Before the first step."""
        self.model.train()
        self.call("start")

    def _advance(self) -> None:
        """Go up to the next step at which a callback is due, or as far as the device goes at once; call those due."""
        start, due = self.step, self.next_calls()
        end = min([self.total_steps, *(step for step, _ in due if step > start)])
        self.losses = None
        self.after_steps(self.train_step.runner.advance(self.train_step, self.loader, end - start), due)

    def next_calls(self) -> list[tuple[int, Callback]]:
        """At which step each callback is due next, as of now."""
        start = self.step
        return [(callback.due.next(start), callback) for callback in self._watching]

    def after_steps(self, losses: Array | None, due: Sequence[tuple[int, Callback]]) -> None:
        """Call the callbacks that have become due.

        Args:
            losses: of the steps that were taken.
            due: what :meth:`next_calls` said before them.
        """
        self.losses = losses
        for step, callback in due:
            if step <= self.step:
                callback.after_step(self)

    def call(self, point: str) -> None:
        """Call what the callbacks do at this point."""
        for function in self._calls[point]:
            function(self)

    def stop(self, reason: str) -> None:
        """End the loop after this step."""
        self.stop_reason = reason

    @property
    def loss(self) -> Tensor | None:
        """That of the last step, a scalar on the device; None where a closed form has none."""
        return None if self.losses is None else Tensor(self.losses[-1:].reshape(()))

    @property
    def step(self) -> int:
        """Updates done."""
        return self.train_step.step

    @property
    def done(self) -> bool:
        """Whether the loop will take no further step."""
        return self.step >= self.total_steps or self.stop_reason is not None

    @property
    def lr(self) -> float | None:
        """The learning rate of the last step; None for a closed form."""
        return getattr(self.train_step.optimizer, "lr", None)

    @property
    def evaluations(self) -> int | None:
        """How often an optimizer that evaluates the cost several times in a step did so; None for others."""
        return getattr(self.train_step.optimizer, "numbers", {}).get("evaluations")

    def position(self, step: int | None = None) -> dict[str, Any]:
        """Where training stands after ``step`` steps, by default now: step, epoch (a fraction inside one), samples."""
        step, loader = self.step if step is None else step, self.loader
        epochs, inside = divmod(step, loader.steps_per_epoch)
        samples = epochs * loader.samples_per_epoch + inside * loader.batch_size  # a step inside is a full batch
        return {"step": step, "epoch": round(step / loader.steps_per_epoch, 6), "samples": samples}

    def state_dict(self) -> dict[str, Any]:
        """The states of all callbacks that have one, by name."""
        return {callback.name: callback.state_dict() for callback in self.callbacks if callback.name}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Give each callback its state; one that is new since then starts afresh."""
        for callback in self.callbacks:
            if callback.name in state:
                callback.load_state_dict(state[callback.name])


def _overrides(callback: Callback, point: str) -> bool:
    return getattr(type(callback), point) is not getattr(Callback, point)
