"""Stop when the loss is no longer a number, without asking the device at every step."""

from typing import Any

import numpy as np

from dlcourse import backend
from dlcourse.errors import DivergenceError
from dlcourse.training.callback import Callback

_MAX_WINDOW = 1 << 16  # losses that wait on the device


class DivergenceGuard(Callback):
    """Keeps the losses since the last look on the device; looks when it is waited for anyway, or at ``capacity``.

    So the message names the very step, and its batch is known too: the loader's batch is a function of the step.

    Args:
        capacity: the most steps between two looks.
    """

    def __init__(self, capacity: int):
        self.capacity = min(capacity, _MAX_WINDOW)
        self._window: Any = None
        self._filled = 0

    def patience(self, trainer: Any) -> int:
        return self.capacity - self._filled

    def after_step(self, trainer: Any) -> None:
        losses = trainer.losses
        if losses is None:
            return
        if self._window is None:
            self._window = backend.array_module(losses).empty(self.capacity, dtype=losses.dtype)
        end = self._filled + len(losses)
        self._window[self._filled : end] = losses
        self._filled = end
        if self._filled == self.capacity:
            self.before_sync(trainer)

    def before_sync(self, trainer: Any) -> None:
        count, self._filled = self._filled, 0
        if not count:
            return
        losses = backend.to_host(self._window[:count])
        wrong = np.flatnonzero(~np.isfinite(losses))
        if len(wrong):
            what = f"the loss is {losses[wrong[0]]}"
            if getattr(trainer.train_step, "compute_dtype", None) == np.float16:
                what += " (float16 ends at 65504; precision: bf16 has the range of float32)"
            raise diverged(trainer, trainer.step - count + 1 + int(wrong[0]), what)


def diverged(trainer: Any, step: int, what: str) -> DivergenceError:
    """The error to raise: says the step and what to try; carries ``step``."""
    rate = "" if trainer.lr is None else f"a lower optimizer.lr (it was {trainer.lr:g} in the last step), "
    error = DivergenceError(
        f"training diverged at step {step}: {what}; try {rate}train.clip_norm, or normalized inputs (data.normalize)"
    )
    error.step = step
    return error
