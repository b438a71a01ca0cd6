"""When a metric no longer improves: what ReduceLROnPlateau and the schedule ``plateau`` have in common."""

from collections.abc import Mapping
from typing import Any, Literal

from dlcourse.optim.require import require, require_non_negative
from dlcourse.optim.schedules import Schedule
from dlcourse.registry import register
from dlcourse.types import Count, Fraction, NonNegative, NonNegativeInt, Probability

__all__ = ["PlateauSchedule"]


class Plateau:
    """Watches the values of a metric; :meth:`reached` is True each time it has not improved for too long.

    Args:
        mode: "min" or "max", which is better.
        patience: evaluations without improvement that are borne.
        threshold: what counts as an improvement.
        threshold_mode: "rel", a share of the best value, or "abs".
        cooldown: evaluations after it that do not count.
    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self, mode: str, patience: int, threshold: float = 1e-4, threshold_mode: str = "rel", cooldown: int = 0
    ):
        require(mode in ("min", "max"), f"mode has to be min or max, got {mode!r}")
        require(threshold_mode in ("rel", "abs"), f"threshold_mode has to be rel or abs, got {threshold_mode!r}")
        require_non_negative(patience=patience, threshold=threshold, cooldown=cooldown)
        self.sign, self.patience, self.cooldown = (1.0 if mode == "max" else -1.0), patience, cooldown
        self.threshold, self.relative = threshold, threshold_mode == "rel"
        self.best: float | None = None
        self.num_bad_epochs = self.cooldown_counter = 0

    def reached(self, value: float) -> bool:
        """Take in another evaluation."""
        if self._improves(value):
            self.best, self.num_bad_epochs = value, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs <= self.patience:
            return False
        self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        return True

    def _improves(self, value: float) -> bool:
        if self.best is None:
            return value == value  # not NaN
        # As PyTorch: a share of the best value, whatever its sign.
        bar = self.best * (1 + self.sign * self.threshold) if self.relative else self.best + self.sign * self.threshold
        return self.sign * value > self.sign * bar

    def state_dict(self) -> dict[str, Any]:
        """What was seen."""
        names = "best", "num_bad_epochs", "cooldown_counter"
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave."""
        self.best, self.num_bad_epochs = state["best"], int(state["num_bad_epochs"])
        self.cooldown_counter = int(state["cooldown_counter"])


@register("schedule", "plateau")
class PlateauSchedule(Schedule):
    """f falls by ``factor`` where a metric no longer improves, ``torch.optim.lr_scheduler.ReduceLROnPlateau``.

    The training tells it each evaluation (:meth:`observe`); what it holds of them is in the checkpoints, so that a run
    that goes on has the same rates.

    Args:
        total_steps: updates in the whole training.
        metric: one of metrics, or loss.
        split: the split it is measured on.
        factor: what a drop multiplies by.
        patience: evaluations without improvement that are borne.
        threshold: what counts as an improvement.
        threshold_mode: rel, a share of the best value, or abs.
        cooldown: evaluations after a drop that do not count.
        final: the least that is left of the learning rate.
        warmup: updates of linear growth at the start.
        mode: min or max, which is better; in a config as the metric has it.
    Attributes:
        drops: after how many updates after the warm-up the rate fell.
    """

    def __init__(
        self,
        total_steps: Count,
        metric: str = "loss",
        split: Literal["train", "val", "test"] = "val",
        factor: Probability = 0.1,
        patience: NonNegativeInt = 10,
        threshold: NonNegative = 1e-4,
        threshold_mode: Literal["rel", "abs"] = "rel",
        cooldown: NonNegativeInt = 0,
        final: Fraction = 0.0,
        warmup: NonNegativeInt = 0,
        mode: Literal["min", "max"] | None = None,
    ):
        super().__init__(total_steps, warmup)
        require(0 < factor < 1, f"factor has to be above 0 and below 1, got {factor}")
        require(0 <= final <= 1, f"final has to lie in [0, 1], got {final}")
        self.metric, self.split, self.factor_of_drop, self.final = metric, split, factor, final
        self._settings = patience, threshold, threshold_mode, cooldown
        self.mode = mode
        self.plateau = Plateau(mode or "min", *self._settings)
        self.drops: list[int] = []

    def measured_by(self, metric: Any) -> None:
        """Take over which values are better from the metric, unless ``mode`` says it."""
        if self.mode is None and metric.higher_is_better:
            self.plateau = Plateau("max", *self._settings)

    def observe(self, value: float, step: int) -> bool:
        """Take in the metric after so many updates; says whether the rate falls."""
        if step <= self.warmup or not self.plateau.reached(value):
            return False
        self.drops.append(step - self.warmup)
        return True

    def after_warmup(self, step: int) -> float:
        return max(self.factor_of_drop ** sum(drop <= step for drop in self.drops), self.final)

    def state_dict(self) -> dict[str, Any]:
        """What was observed."""
        return {**self.plateau.state_dict(), "drops": list(self.drops)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave."""
        self.plateau.load_state_dict(state)
        self.drops = [int(drop) for drop in state["drops"]]
