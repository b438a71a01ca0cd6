"""Schedules that go one way: a line, a power, and the range test."""

from dlcourse.optim.require import require, require_non_negative
from dlcourse.optim.schedules import Schedule
from dlcourse.registry import register
from dlcourse.types import Count, Fraction, NonNegative, NonNegativeInt, Positive

__all__ = ["LinearSchedule", "PolynomialSchedule", "RangeTestSchedule"]


@register("schedule", "linear")
class LinearSchedule(Schedule):
    """f(k) = start + (final - start) k / K up to k = K, then final; ``torch.optim.lr_scheduler.LinearLR``.

    Args:
        total_steps: updates in the whole training.
        start: the first factor.
        final: the last factor.
        total_iters: K; the updates after the warm-up if left out.
        warmup: updates of linear growth at the start.
    """

    def __init__(
        self,
        total_steps: Count,
        start: NonNegative = 1.0,
        final: NonNegative = 0.0,
        warmup: NonNegativeInt = 0,
        total_iters: Count | None = None,
    ):
        super().__init__(total_steps, warmup)
        require_non_negative(start=start, final=final)
        require(total_iters is None or total_iters >= 1, f"total_iters has to be at least 1, got {total_iters}")
        self.start, self.final, self.total_iters = start, final, total_iters

    def after_warmup(self, step: int) -> float:
        return self.start + (self.final - self.start) * min(step / (self.total_iters or self.length), 1.0)


@register("schedule", "polynomial")
class PolynomialSchedule(Schedule):
    """f(k) = final + (1 - final) (1 - k / K)^power, ``torch.optim.lr_scheduler.PolynomialLR`` with total_iters = K.

    Args:
        total_steps: updates in the whole training.
        power: 1 is a line, more falls early.
        final: what is left of the learning rate at the end.
        warmup: updates of linear growth at the start.
    """

    def __init__(self, total_steps: Count, power: NonNegative = 1.0, final: Fraction = 0.0, warmup: NonNegativeInt = 0):
        super().__init__(total_steps, warmup)
        require_non_negative(power=power)
        require(0 <= final <= 1, f"final has to lie in [0, 1], got {final}")
        self.power, self.final = power, final

    def after_warmup(self, step: int) -> float:
        return self.final + (1 - self.final) * (1 - min(step / self.length, 1.0)) ** self.power


@register("schedule", "range_test")
class RangeTestSchedule(Schedule):
    """f(k) = first (last / first)^(k / (K - 1)): rates of all sizes in one short training (Smith 2017, section 3.3).

    The rate to take is below the one where the loss stops falling. With ``lr: 1`` the factors are the rates
    themselves; the training stops where the loss becomes infinite.

    Args:
        total_steps: updates in the whole training.
        first: the factor of the first update.
        last: the factor of the last update.
        warmup: updates of linear growth at the start.
    Example:
        >>> schedule = optim.RangeTestSchedule(total_steps=5, first=1e-3, last=10.0)
        >>> [round(schedule.factor(step), 6) for step in range(5)]
        [0.001, 0.01, 0.1, 1.0, 10.0]
    """

    def __init__(self, total_steps: Count, first: Positive = 1e-5, last: Positive = 10.0, warmup: NonNegativeInt = 0):
        super().__init__(total_steps, warmup)
        require(0 < first < last, f"first has to be above 0 and below last, got {first} and {last}")
        self.first, self.last = first, last

    def after_warmup(self, step: int) -> float:
        share = min(step / (self.length - 1), 1.0) if self.length > 1 else 0.0
        return self.first * (self.last / self.first) ** share
