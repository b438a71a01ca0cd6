"""Watch a metric: the best evaluation so far, early stopping, and a search that ends what does not promise much."""

from collections.abc import Callable
from typing import Any

from dlcourse.training.callback import Callback


class BestTracker(Callback):
    """Remembers the best evaluation so far; a value that is not a number is never the best.

    Args:
        metric: label of the metric.
        split: where it is measured.
        higher_is_better: its direction.
        min_delta: by how much a value has to be better to count.
    Attributes:
        value, step: of the best evaluation, None before the first.
    """

    name = "best"

    def __init__(self, metric: str, split: str, higher_is_better: bool, min_delta: float = 0.0):
        self.metric, self.split, self.min_delta = metric, split, min_delta
        self.sign = 1.0 if higher_is_better else -1.0
        self.value: float | None = None
        self.step: int | None = None

    def after_evaluation(self, trainer: Any) -> None:
        value = trainer.metrics[self.split][self.metric]
        bar = float("-inf") if self.value is None else self.sign * self.value + self.min_delta
        if self.sign * value > bar:
            self.value, self.step = value, trainer.step

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value, "step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.value, self.step = state["value"], state["step"]

    def describe(self) -> dict[str, Any] | None:
        """As ``result.json`` holds it; None before the first evaluation."""
        if self.step is None:
            return None
        return {"step": self.step, "metric": self.metric, "split": self.split, "value": self.value}


class EarlyStopping(BestTracker):
    """Stops when ``patience`` evaluations in a row were not better than the best by more than ``min_delta``."""

    name = "early_stopping"

    def __init__(self, metric: str, split: str, higher_is_better: bool, patience: int, min_delta: float = 0.0):
        super().__init__(metric, split, higher_is_better, min_delta)
        self.patience = patience
        self.waited = 0

    def start(self, trainer: Any) -> None:
        self._stop_if_due(trainer)  # a run that had stopped stays so, unless resumed with more patience

    def after_evaluation(self, trainer: Any) -> None:
        super().after_evaluation(trainer)
        self.waited = 0 if self.step == trainer.step else self.waited + 1
        self._stop_if_due(trainer)

    def _stop_if_due(self, trainer: Any) -> None:
        if self.waited >= self.patience:
            found = f"was not better than {self.value} (step {self.step}) in {self.waited} evaluations"
            if self.step is None:
                found = (
                    f"was no finite number in any of {self.waited} evaluations; watch another metric, or more samples"
                )
            trainer.stop(f"stopped early at step {trainer.step}: {self.split} {self.metric} {found}")

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.waited = state["waited"]


Judge = Callable[[int, float | None], bool]
"""Told the step and the value of an evaluation, says whether to end the run; without a value what it said before."""


class Pruning(Callback):
    """Lets a search over many runs see each evaluation, and end this one.

    Args:
        metric: label of the metric.
        split: where it is measured.
        judge: the search.
    Attributes:
        pruned: the step at which it ended the run; None where it did not.
    """

    def __init__(self, metric: str, split: str, judge: Judge):
        self.metric, self.split, self.judge = metric, split, judge
        self.pruned: int | None = None

    def start(self, trainer: Any) -> None:
        if trainer.step and not trainer.done and self.judge(trainer.step, None):
            self._stop(trainer)

    def after_evaluation(self, trainer: Any) -> None:
        if self.judge(trainer.step, trainer.metrics[self.split][self.metric]) and not trainer.done:
            self._stop(trainer)

    def _stop(self, trainer: Any) -> None:
        self.pruned = trainer.step
        trainer.stop(f"pruned at step {trainer.step}: by {self.split} {self.metric} other trials promise more")


class ScheduleWatch(Callback):
    """Tells a schedule that watches a metric, such as ``plateau``, each evaluation.

    Args:
        say: called with a line where the rate falls.
    """

    def __init__(self, say: Callable[[str], None]):
        self.say = say

    def after_evaluation(self, trainer: Any) -> None:
        schedule = trainer.train_step.schedule
        before = schedule.factor(trainer.step)
        if schedule.observe(trainer.metrics[schedule.split][schedule.metric], trainer.step):
            now = schedule.factor(trainer.step)
            self.say(
                f"step {trainer.step}: {schedule.split} {schedule.metric} no longer improves; the learning rate falls "
                f"from {before:.3g} to {now:.3g} of optimizer.lr"
            )
