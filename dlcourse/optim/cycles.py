"""Schedules that rise and fall: one cycle, many, and restarts."""

from math import cos, pi
from typing import Literal

from dlcourse.optim.require import require
from dlcourse.optim.schedules import Schedule
from dlcourse.registry import register
from dlcourse.types import Count, Fraction, NonNegativeInt, Positive

__all__ = ["CyclicSchedule", "OneCycleSchedule", "WarmRestartsSchedule"]


@register("schedule", "one_cycle")
class OneCycleSchedule(Schedule):
    """Up from 1 / div_factor to 1, then down to 1 / (div_factor final_div_factor), both along half a cosine.

    ``torch.optim.lr_scheduler.OneCycleLR`` (Smith & Topin 2018) with max_lr = the optimizer's lr: its peak is update
    pct_start K - 1 and its last value update K - 1, of the K updates after the warm-up.

    Args:
        total_steps: updates in the whole training.
        pct_start: share of the updates spent going up.
        div_factor: the peak divided by the first learning rate.
        final_div_factor: the first learning rate divided by the last.
        warmup: updates of linear growth before the cycle, from near 0 to its first value.
        anneal_strategy: along half a cosine ("cos") or a line ("linear").
        three_phase: down to the first rate as fast as up, then to the last.
    """

    def __init__(
        self,
        total_steps: Count,
        pct_start: Fraction = 0.3,
        div_factor: Positive = 25.0,
        final_div_factor: Positive = 1e4,
        warmup: NonNegativeInt = 0,
        *,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        three_phase: bool = False,
    ):
        super().__init__(total_steps, warmup)
        require(0 <= pct_start <= 1, f"pct_start has to lie in [0, 1], got {pct_start}")
        require(div_factor > 0, f"div_factor has to be above 0, got {div_factor}")
        require(final_div_factor > 0, f"final_div_factor has to be above 0, got {final_div_factor}")
        require(
            anneal_strategy in ("cos", "linear"), f"anneal_strategy has to be cos or linear, got {anneal_strategy!r}"
        )
        self.between = half_cosine if anneal_strategy == "cos" else _line
        self.first = 1 / div_factor
        peak, last = max(pct_start * self.length - 1, 0.0), self.first / final_div_factor
        self.phases = [(peak, self.first, 1.0)]
        if three_phase:
            self.phases.append((max(2 * pct_start * self.length - 2, peak), 1.0, self.first))
        self.phases.append((self.length - 1, self.phases[-1][2], last))

    def after_warmup(self, step: int) -> float:
        start = 0.0
        for end, low, high in self.phases[:-1]:
            if step < end:
                return self.between(low, high, (step - start) / (end - start))
            start = end
        end, before, last = self.phases[-1]
        return self.between(before, last, min((step - start) / (end - start), 1.0) if end > start else 0.0)

    def momentum_share(self, step: int) -> float:
        """How far the momentum is from its largest, 1 at the peak of the rate: it goes the other way round."""
        start, levels = 0.0, ((0.0, 1.0), (1.0, 0.0), (0.0, 0.0))
        for (end, _, _), (before, after) in zip(self.phases, levels, strict=False):
            if step < end or end == self.phases[-1][0]:
                return self.between(before, after, min((step - start) / (end - start), 1.0) if end > start else 0.0)
            start = end
        return 0.0


def half_cosine(start: float, end: float, share: float) -> float:
    """From start (share 0) to end (share 1) along half a cosine."""
    return end + (start - end) * (1 + cos(pi * share)) / 2


def _line(start: float, end: float, share: float) -> float:
    return start + (end - start) * share


@register("schedule", "warm_restarts")
class WarmRestartsSchedule(Schedule):
    """Half a cosine from 1 to ``final``, again and again (Loshchilov & Hutter 2017).

    ``torch.optim.lr_scheduler.CosineAnnealingWarmRestarts`` with T_0 = period and T_mult = period_mult.

    Args:
        total_steps: updates in the whole training.
        period: updates of the first half cosine.
        period_mult: how many times as long each is as the one before.
        final: what is left of the learning rate at each end.
        warmup: updates of linear growth at the start.
    """

    def __init__(
        self,
        total_steps: Count,
        period: Count,
        period_mult: Count = 1,
        final: Fraction = 0.0,
        warmup: NonNegativeInt = 0,
    ):
        super().__init__(total_steps, warmup)
        require(period >= 1, f"period has to be at least 1, got {period}")
        require(period_mult >= 1, f"period_mult has to be at least 1, got {period_mult}")
        require(0 <= final <= 1, f"final has to lie in [0, 1], got {final}")
        self.period, self.period_mult, self.final = period, period_mult, final

    def after_warmup(self, step: int) -> float:
        period = self.period
        if self.period_mult == 1:
            step %= period
        while step >= period:
            step -= period
            period *= self.period_mult
        return half_cosine(1.0, self.final, step / period)


@register("schedule", "cyclic")
class CyclicSchedule(Schedule):
    """Up and down between ``low`` and 1 in lines (Smith 2017), ``torch.optim.lr_scheduler.CyclicLR``.

    Args:
        total_steps: updates in the whole training.
        low: the lower end, as a share of the learning rate.
        step_size_up: updates from the lower to the upper end.
        step_size_down: updates back; as many if left out.
        mode: triangular, triangular2 (half as high each time) or exp_range (times gamma^step).
        gamma: of exp_range.
        warmup: updates of linear growth at the start.
    """

    def __init__(
        self,
        total_steps: Count,
        low: Fraction = 0.1,
        step_size_up: Count = 2000,
        step_size_down: Count | None = None,
        mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
        gamma: Positive = 1.0,
        warmup: NonNegativeInt = 0,
    ):
        super().__init__(total_steps, warmup)
        down = step_size_up if step_size_down is None else step_size_down
        require(0 <= low <= 1, f"low has to lie in [0, 1], got {low}")
        require(step_size_up >= 1 and down >= 1, f"step sizes have to be at least 1, got {step_size_up} and {down}")
        known = "triangular", "triangular2", "exp_range"
        require(mode in known, f"mode has to be one of {known}, got {mode!r}")
        require(gamma > 0, f"gamma has to be above 0, got {gamma}")
        self.low, self.up, self.period, self.mode, self.gamma = low, step_size_up, step_size_up + down, mode, gamma

    def after_warmup(self, step: int) -> float:
        cycle, place = divmod(step, self.period)
        height = place / self.up if place <= self.up else (self.period - place) / (self.period - self.up)
        scale = {"triangular": 1.0, "triangular2": 0.5**cycle, "exp_range": self.gamma**step}[self.mode]
        return self.low + (1 - self.low) * height * scale
