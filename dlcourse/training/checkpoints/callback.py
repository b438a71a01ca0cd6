"""Write checkpoints when they are due."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from dlcourse.backend.memory import out_of_memory
from dlcourse.errors import OutOfMemoryError
from dlcourse.training.callback import Callback, Every, Whenever
from dlcourse.training.checkpoints.store import CheckpointContent, CheckpointStore
from dlcourse.training.divergence import diverged
from dlcourse.training.history import History
from dlcourse.training.monitor import BestTracker


class Checkpointing(Callback):
    """Saves every ``every`` steps, or else as often as costs at most about two percent of the time; and at the end.

    The best state so far is kept in memory and written with the next ``last``: a run killed in between finds the same
    best again, as it goes on exactly. When a checkpoint is written never changes what a run computes.

    Args:
        store: where they go.
        capture: makes the content of a checkpoint from the trainer.
        history: its lines are brought to the disk before a checkpoint counts them.
        best: says which step was the best; None: no best is kept.
        every: steps between checkpoints; None: by time.
    Attributes:
        saved: the step of the last checkpoint; None while there is none.
        together: how many runs in lockstep wait for each other's saves.
    """

    SHARE = 50  # training time between two saves, in durations of a save
    MIN_SECONDS = 1.0

    def __init__(
        self,
        store: CheckpointStore,
        capture: Callable[[Any], CheckpointContent],
        history: History,
        best: BestTracker | None,
        every: int | None,
    ):
        self.store, self.capture, self.history, self.best, self.every = store, capture, history, best, every
        self.due = Every(every) if every else Whenever()
        self._pending: CheckpointContent | None = None
        self.saved: int | None = None
        self.together = 1
        self._saved_best: int | None = None

    def start(self, trainer: Any) -> None:
        self.saved = trainer.step or None  # a run that goes on stands at its last checkpoint
        self._next = time.perf_counter() + self.MIN_SECONDS

    def after_step(self, trainer: Any) -> None:
        if self.every or time.perf_counter() >= self._next:
            self.save(trainer)

    def after_evaluation(self, trainer: Any) -> None:
        if self.best is not None and self.best.step == trainer.step:
            self._pending = self._capture(trainer)

    def finish(self, trainer: Any) -> None:
        self.save(trainer)

    def save_best(self, trainer: Any) -> None:
        """After an evaluation at the very end: keep this state if it was the best, leaving ``last`` as it is."""
        if self.best is not None and self.best.step == trainer.step != self._saved_best:
            self.store.save_best(self._pending or self._capture(trainer))

    def save(self, trainer: Any) -> None:
        """Write a checkpoint, unless this step has one.

        Raises:
            DivergenceError: the weights are no longer finite; the last good checkpoint stays.
            OutOfMemoryError: there is no memory for it; the last checkpoint stays.
            DlcourseError: it cannot be written.
        """
        if self.saved == trainer.step:
            return
        try:
            self._save(trainer)
        except Exception as error:  # out of memory is a MemoryError on the host, an error of CuPy's on a GPU
            if not out_of_memory(error):
                raise
            last = "there is none before it" if self.saved is None else f"that of step {self.saved} is intact"
            reason = (str(error).splitlines() or ["there is no more"])[0]
            when = f"while the checkpoint of step {trainer.step} was written"
            raise OutOfMemoryError(f"out of memory {when}: {reason}; {last}") from error

    def _save(self, trainer: Any) -> None:
        began = time.perf_counter()
        best = self._pending
        content = best if best is not None and best[1]["step"] == trainer.step else self._capture(trainer)
        self.history.sync()
        self.store.save(content, best)
        self._pending, self.saved = None, trainer.step
        self._saved_best = best[1]["step"] if best is not None else self._saved_best
        ended = time.perf_counter()
        self._next = ended + max(self.MIN_SECONDS, self.SHARE * self.together * (ended - began))

    def _capture(self, trainer: Any) -> CheckpointContent:
        trainer.call("before_sync")
        content = self.capture(trainer)
        for name, _ in trainer.model.named_parameters():
            if not np.isfinite(content[0][f"model.{name}"]).all():
                raise diverged(trainer, trainer.step, f"the update made {name} infinite or not a number")
        return content
