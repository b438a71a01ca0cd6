"""How far a training is: a bar on a terminal or in a notebook, elsewhere a line now and then."""

import sys
import time
from typing import Any

from dlcourse.streams import progress_bar, show
from dlcourse.training.callback import Callback, Every, Whenever
from dlcourse.training.history import History

FIRST_LINE, NEXT_LINE = 20.0, 60.0
"""Seconds until a first line where there is no terminal, and from one to the next."""


class Progress(Callback):
    """A tqdm bar over the samples of the whole training, with live loss and metrics, on stderr or in a notebook.

    Where there is neither a terminal nor a notebook, a line on stderr says the same every minute.

    Args:
        history: what read the loss last: the bar never waits for the device itself.
        quiet: show nothing.
    """

    due: Every | Whenever = Every(0)

    def __init__(self, history: History, quiet: bool):
        self.history, self.quiet = history, quiet
        self._bar: Any = None
        self._shown: float | None = None

    def start(self, trainer: Any) -> None:
        if self.quiet or sys.stderr is None or trainer.done:
            return
        self.due = Whenever()
        total, done = trainer.position(trainer.total_steps)["samples"], trainer.position()["samples"]
        bar = progress_bar(total=total, initial=done, unit=" samples", unit_scale=True, dynamic_ncols=True, leave=False)
        self._bar = Lines(total, done) if bar is None else bar

    def after_step(self, trainer: Any) -> None:
        if self.history.loss != self._shown:
            self._shown = self.history.loss
            self._bar.set_postfix_str(self._postfix(trainer), refresh=False)
        self._bar.update(trainer.position()["samples"] - self._bar.n)

    def after_evaluation(self, trainer: Any) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(self._postfix(trainer), refresh=False)

    def close(self, trainer: Any) -> None:
        if self._bar is not None:
            self._bar.close()

    def _postfix(self, trainer: Any) -> str:
        shown = [] if self.history.loss is None else [f"loss {self.history.loss:.4g}"]
        split = "val" if "val" in trainer.metrics else "train"
        shown += [f"{split} {label} {value:.4g}" for label, value in trainer.metrics.get(split, {}).items()]
        return ", ".join(shown)


class Lines:
    """What stands in for a bar where there is no terminal: a line on stderr after some seconds, then every minute."""

    def __init__(self, total: int, initial: int):
        self.total, self.n, self._initial, self._words = total, initial, initial, ""
        self._began = time.monotonic()
        self._next = self._began + FIRST_LINE

    def set_postfix_str(self, words: str, refresh: bool = False) -> None:
        """Words to show beside the numbers."""
        self._words = words

    def update(self, samples: int) -> None:
        """So many more are done."""
        self.n += samples
        now = time.monotonic()
        if now < self._next or self.n <= self._initial:
            return
        self._next = now + NEXT_LINE
        rate = (self.n - self._initial) / (now - self._began)
        left = (self.total - self.n) / rate
        remaining = f"{left / 60:.0f} min" if left >= 120 else f"{left:.0f} s"
        words = f", {self._words}" if self._words else ""
        share = self.n / self.total
        show(f"{share:.0%} of the training, {rate:,.0f} samples/s, about {remaining} left{words}", sys.stderr)

    def close(self) -> None:
        """Nothing is left to show."""
