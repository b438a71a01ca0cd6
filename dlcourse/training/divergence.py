"""Stop when the loss is no longer a number, without asking the device at every step."""

import time
from typing import Any

import numpy as np

from dlcourse import backend
from dlcourse.backend.device import Array
from dlcourse.errors import DivergenceError
from dlcourse.training.callback import Callback, Whenever

_MAX_WAITING = 1 << 12  # losses that wait on the device
_BETWEEN_LOOKS = 0.1
"""Seconds, about, between two looks at a device that takes several steps at once: a look lets it run dry, and what it
was asked for until then cannot be interrupted."""


class DivergenceGuard(Callback):
    """Keeps the losses since the last look on the device; looks when it is waited for anyway, or at ``capacity``.

    So the message names the very step, and its batch is known too: the loader's batch is a function of the step.

    Args:
        capacity: after so many steps it looks anyway; where a device takes several at once, after as many more as take
            a tenth of a second.
    Attributes:
        recent: step and loss of the last steps that were looked at; of a divergence those around it.
    """

    due = Whenever()
    around = 20
    """Steps before and after a divergence whose losses :attr:`recent` has."""

    def __init__(self, capacity: int):
        self.capacity = self._most = min(capacity, _MAX_WAITING)
        self._waiting: list[Array] = []
        self._count = 0
        self._since = 0.0
        self.recent: list[tuple[int, float]] = []

    def after_step(self, trainer: Any) -> None:
        if trainer.losses is None:
            return
        if not self._waiting:
            self._since = time.perf_counter()
        self._waiting.append(trainer.losses)
        self._count += len(trainer.losses)
        if self._count >= self._most:
            trainer.call("before_sync")

    def before_sync(self, trainer: Any) -> None:
        if not self._waiting:
            return
        losses = backend.to_host(backend.array_module(self._waiting[0]).concatenate(self._waiting))
        count, self._waiting, self._count = self._count, [], 0
        if trainer.train_step.runner.takes_several:
            fitting = count * _BETWEEN_LOOKS / max(time.perf_counter() - self._since, 1e-6)
            self._most = max(self.capacity, min(int(fitting), 2 * count, _MAX_WAITING))
        wrong = np.flatnonzero(~np.isfinite(losses))
        first, end = trainer.step - count + 1, int(wrong[0]) + 1 + self.around if len(wrong) else count
        new = losses[max(0, end - 2 * self.around - 1) : end]
        start = first + min(end, count) - len(new)
        self.recent = [*self.recent, *zip(range(start, start + len(new)), new.tolist(), strict=True)]
        self.recent = self.recent[-2 * self.around - 1 :]
        if len(wrong):
            what = f"the loss is {losses[wrong[0]]}"
            if getattr(trainer.train_step, "compute_dtype", None) == np.float16:
                what += " (float16 ends at 65504; precision: bf16 has the range of float32)"
            raise diverged(trainer, trainer.step - count + 1 + int(wrong[0]), what)


def diverged(trainer: Any, step: int, what: str) -> DivergenceError:
    """The error to raise: says the step, and carries it; what to try is the advice of the run that ends by it."""
    rate = "" if trainer.lr is None else f"; optimizer.lr was {trainer.lr:g} in the last step"
    error = DivergenceError(f"training diverged at step {step}: {what}{rate}")
    error.step = step
    return error
