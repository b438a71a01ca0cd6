"""Schedules: the learning rate as a function of the step, without state.

``schedule.factor(k)`` multiplies the optimizer's learning rate in update k = 0, 1, ..., total_steps - 1. Each schedule
takes ``warmup``: over that many updates the factor grows linearly from near 0 to the schedule's first value f(0), then
the schedule f runs on what is left:

    factor(k) = f(0) (k + 1) / (warmup + 1)     for k < warmup
    factor(k) = f(k - warmup)                   for k >= warmup

The units are updates (batches), not epochs; an epoch has ceil(samples / batch_size) of them.
"""

from math import cos, pi

from dlcourse.optim.require import require, require_non_negative
from dlcourse.registry import register
from dlcourse.text import call_text
from dlcourse.types import Count, Fraction, NonNegativeInt, Positive

__all__ = [
    "ConstantSchedule",
    "CosineSchedule",
    "ExponentialSchedule",
    "MultiStepSchedule",
    "Schedule",
    "StepSchedule",
]


class Schedule:
    """Base of the schedules. A subclass writes :meth:`after_warmup`.

    Args:
        total_steps: updates in the whole training.
        warmup: updates of linear growth at the start.
    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(self, total_steps: Count, warmup: NonNegativeInt = 0):
        require(total_steps >= 1, f"total_steps has to be at least 1, got {total_steps}")
        require_non_negative(warmup=warmup)
        self.total_steps, self.warmup = total_steps, warmup
        # A warm-up longer than the training (a quick trial of a long config) is not an error: then all of it warms up.
        self.length = max(total_steps - warmup, 1)

    def __repr__(self) -> str:
        return call_text(self)

    def after_warmup(self, step: int) -> float:
        """f(step), where step 0 is the first update after the warm-up; ``self.length`` updates are left then."""
        raise NotImplementedError

    def factor(self, step: int) -> float:
        """What multiplies the learning rate in update ``step`` (from 0)."""
        if step < self.warmup:
            return self.after_warmup(0) * (step + 1) / (self.warmup + 1)
        return self.after_warmup(step - self.warmup)


@register("schedule", "constant")
class ConstantSchedule(Schedule):
    """f(k) = 1.

    Args:
        total_steps: updates in the whole training.
        warmup: updates of linear growth at the start.
    """

    def __init__(self, total_steps: Count, warmup: NonNegativeInt = 0):
        super().__init__(total_steps, warmup)

    def after_warmup(self, step: int) -> float:
        return 1.0


@register("schedule", "step")
class StepSchedule(Schedule):
    """f(k) = gamma^floor(k / step_size), ``torch.optim.lr_scheduler.StepLR``.

    Args:
        total_steps: updates in the whole training.
        step_size: updates between two drops.
        gamma: what each drop multiplies by.
        warmup: updates of linear growth at the start.
    """

    def __init__(self, total_steps: Count, step_size: Count, gamma: Positive = 0.1, warmup: NonNegativeInt = 0):
        super().__init__(total_steps, warmup)
        require(step_size >= 1, f"step_size has to be at least 1, got {step_size}")
        require(gamma > 0, f"gamma has to be above 0, got {gamma}")
        self.step_size, self.gamma = step_size, gamma

    def after_warmup(self, step: int) -> float:
        return self.gamma ** (step // self.step_size)


@register("schedule", "multi_step")
class MultiStepSchedule(Schedule):
    """f(k) = gamma^(how many milestones are at most k), ``torch.optim.lr_scheduler.MultiStepLR``.

    Args:
        total_steps: updates in the whole training.
        milestones: updates after the warm-up, from each of which on the rate is gamma times what it was.
        gamma: what each drop multiplies by.
        warmup: updates of linear growth at the start.
    """

    def __init__(self, total_steps: Count, milestones: list[Count], gamma: Positive = 0.1, warmup: NonNegativeInt = 0):
        super().__init__(total_steps, warmup)
        require(all(milestone >= 1 for milestone in milestones), f"a milestone has to be at least 1, got {milestones}")
        require(gamma > 0, f"gamma has to be above 0, got {gamma}")
        self.milestones, self.gamma = list(milestones), gamma

    def after_warmup(self, step: int) -> float:
        return self.gamma ** sum(milestone <= step for milestone in self.milestones)


@register("schedule", "exponential")
class ExponentialSchedule(Schedule):
    """f(k) = gamma^(k / every), smoothly; with every = 1 ``torch.optim.lr_scheduler.ExponentialLR``.

    Args:
        total_steps: updates in the whole training.
        gamma: the factor after each ``every`` updates.
        every: updates in which the factor falls by gamma, such as those of an epoch.
        warmup: updates of linear growth at the start.
    """

    def __init__(self, total_steps: Count, gamma: Positive, every: Count = 1, warmup: NonNegativeInt = 0):
        super().__init__(total_steps, warmup)
        require(gamma > 0, f"gamma has to be above 0, got {gamma}")
        require(every >= 1, f"every has to be at least 1, got {every}")
        self.gamma, self.every = gamma, every

    def after_warmup(self, step: int) -> float:
        return self.gamma ** (step / self.every)


@register("schedule", "cosine")
class CosineSchedule(Schedule):
    """f(k) = final + (1 - final) (1 + cos(pi k / K)) / 2, K the updates after the warm-up (Loshchilov & Hutter 2017).

    ``torch.optim.lr_scheduler.CosineAnnealingLR`` with T_max = K and eta_min = final lr; after K it stays at final.

    Args:
        total_steps: updates in the whole training.
        final: what is left of the learning rate at the end.
        warmup: updates of linear growth at the start.
    Example:
        >>> schedule = optim.CosineSchedule(total_steps=10)
        >>> [round(schedule.factor(step), 3) for step in (0, 5, 10)]
        [1.0, 0.5, 0.0]
    """

    def __init__(self, total_steps: Count, final: Fraction = 0.0, warmup: NonNegativeInt = 0):
        super().__init__(total_steps, warmup)
        require(0 <= final <= 1, f"final has to lie in [0, 1], got {final}")
        self.final = final

    def after_warmup(self, step: int) -> float:
        return self.final + (1 - self.final) * (1 + cos(pi * min(step / self.length, 1.0))) / 2
