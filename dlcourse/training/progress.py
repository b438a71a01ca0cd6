"""A progress line on a terminal: live loss, metrics, samples a second and the time left."""

import sys
from typing import Any

from dlcourse.training.callback import Callback, Every, Whenever
from dlcourse.training.history import History


class Progress(Callback):
    """A tqdm bar over the samples of the whole training, on stderr; nothing where that is no terminal.

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
        if self.quiet or sys.stderr is None or not sys.stderr.isatty() or trainer.done:
            return
        from tqdm import tqdm

        self.due = Whenever()
        self._bar = tqdm(
            total=trainer.position(trainer.total_steps)["samples"],
            initial=trainer.position()["samples"],
            unit=" samples",
            unit_scale=True,
            dynamic_ncols=True,
            leave=False,
        )

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
