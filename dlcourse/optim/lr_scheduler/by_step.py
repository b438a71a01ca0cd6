"""Schedulers whose rate is a function of the step."""

from collections.abc import Sequence
from math import cos, pi, prod

from dlcourse.optim.base import Optimizer
from dlcourse.optim.cycles import WarmRestartsSchedule
from dlcourse.optim.lr_scheduler.scheduler import LRScheduler, Shape
from dlcourse.optim.ramps import LinearSchedule, PolynomialSchedule
from dlcourse.optim.require import require
from dlcourse.optim.schedules import ExponentialSchedule, MultiStepSchedule, StepSchedule

__all__ = [
    "LambdaLR",
    "MultiplicativeLR",
    "StepLR",
    "MultiStepLR",
    "ExponentialLR",
    "ConstantLR",
    "LinearLR",
    "PolynomialLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
]


class LambdaLR(LRScheduler):
    """rate = initial rate times ``lr_lambda(t)``, ``torch.optim.lr_scheduler.LambdaLR``.

    Args:
        optimizer: whose rates are set.
        lr_lambda: a function of t, or one for each group.
        last_epoch: t of a training that goes on.
    """

    chained = False

    def __init__(self, optimizer: Optimizer, lr_lambda: Shape | Sequence[Shape], last_epoch: int = -1):
        super().__init__(optimizer, lr_lambda, last_epoch)


class MultiplicativeLR(LRScheduler):
    """rate_t = rate_(t-1) times ``lr_lambda(t)``, ``torch.optim.lr_scheduler.MultiplicativeLR``.

    Args:
        optimizer: whose rates are set.
        lr_lambda: a function of t, or one for each group.
        last_epoch: t of a training that goes on.
    """

    def __init__(self, optimizer: Optimizer, lr_lambda: Shape | Sequence[Shape], last_epoch: int = -1):
        super().__init__(optimizer, lr_lambda, last_epoch)

    def _next(self, i: int, rate: float) -> float:
        return rate * self.shapes[i](self.last_epoch) if self.last_epoch > 0 else rate

    def _closed(self, i: int) -> float:
        return self.base_lrs[i] * prod(self.shapes[i](t) for t in range(1, self.last_epoch + 1))


class StepLR(LRScheduler):
    """The rate falls by ``gamma`` after each ``step_size`` steps, ``torch.optim.lr_scheduler.StepLR``.

    Args:
        optimizer: whose rates are set.
        step_size: steps between two drops.
        gamma: what each drop multiplies by.
        last_epoch: t of a training that goes on.
    Example:
        >>> optimizer = optim.SGD([nn.Parameter(np.zeros(1, "float32"))], lr=0.5)
        >>> scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.1)
        >>> for _ in range(2):
        ...     optimizer.step()
        ...     scheduler.step()
        >>> scheduler.get_last_lr()
        [0.05]
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1):
        super().__init__(optimizer, StepSchedule(1, step_size, gamma).factor, last_epoch)


class MultiStepLR(LRScheduler):
    """The rate falls by ``gamma`` at each milestone, ``torch.optim.lr_scheduler.MultiStepLR``.

    Args:
        optimizer: whose rates are set.
        milestones: the t of the drops.
        gamma: what each drop multiplies by.
        last_epoch: t of a training that goes on.
    """

    def __init__(self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1, last_epoch: int = -1):
        super().__init__(optimizer, MultiStepSchedule(1, list(milestones), gamma).factor, last_epoch)


class ExponentialLR(LRScheduler):
    """rate = initial rate times gamma^t, ``torch.optim.lr_scheduler.ExponentialLR``.

    Args:
        optimizer: whose rates are set.
        gamma: what each step multiplies by.
        last_epoch: t of a training that goes on.
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1):
        super().__init__(optimizer, ExponentialSchedule(1, gamma).factor, last_epoch)


class ConstantLR(LRScheduler):
    """The rate is multiplied by ``factor`` for the first steps, ``torch.optim.lr_scheduler.ConstantLR``.

    Args:
        optimizer: whose rates are set.
        factor: of the first ``total_iters`` steps.
        total_iters: steps until the rate is the initial one.
        last_epoch: t of a training that goes on.
    """

    def __init__(self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1):
        require(0 <= factor <= 1, f"factor has to lie in [0, 1], got {factor}")
        super().__init__(optimizer, lambda t: factor if t < total_iters else 1.0, last_epoch)


class LinearLR(LRScheduler):
    """The factor goes from ``start_factor`` to ``end_factor`` in a line, ``torch.optim.lr_scheduler.LinearLR``.

    Args:
        optimizer: whose rates are set.
        start_factor: above 0, at most 1.
        end_factor: from 0 to 1.
        total_iters: steps until the end is reached.
        last_epoch: t of a training that goes on.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ):
        require(0 < start_factor <= 1, f"start_factor has to be above 0 and at most 1, got {start_factor}")
        require(0 <= end_factor <= 1, f"end_factor has to lie in [0, 1], got {end_factor}")
        super().__init__(optimizer, LinearSchedule(total_iters, start_factor, end_factor).factor, last_epoch)


class PolynomialLR(LRScheduler):
    """rate = initial rate times (1 - t / total_iters)^power, then 0, ``torch.optim.lr_scheduler.PolynomialLR``.

    Args:
        optimizer: whose rates are set.
        total_iters: steps until the rate is 0.
        power: 1 is a line.
        last_epoch: t of a training that goes on.
    """

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1):
        super().__init__(optimizer, PolynomialSchedule(total_iters, power).factor, last_epoch)


class CosineAnnealingLR(LRScheduler):
    """Down half a cosine in ``T_max`` steps, and up again, ``torch.optim.lr_scheduler.CosineAnnealingLR``.

    rate = eta_min + (initial rate - eta_min) (1 + cos(pi t / T_max)) / 2 (Loshchilov & Hutter 2017, without restarts)

    Args:
        optimizer: whose rates are set.
        T_max: steps from the top to the bottom.
        eta_min: the rate at the bottom.
        last_epoch: t of a training that goes on.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1):
        require(T_max >= 1, f"T_max has to be at least 1, got {T_max}")
        super().__init__(optimizer, lambda t: _wave(t, T_max), last_epoch, eta_min)


def _wave(t: int, half: int) -> float:
    """(1 + cos(pi t / half)) / 2, at the bottom 0 and not nearly."""
    return 0.0 if t % (2 * half) == half else (1 + cos(pi * t / half)) / 2


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half a cosine, again and again, each T_mult as long, ``torch.optim.lr_scheduler.CosineAnnealingWarmRestarts``.

    Args:
        optimizer: whose rates are set.
        T_0: steps of the first.
        T_mult: how many times as long each is as the one before.
        eta_min: the rate at the bottom.
        last_epoch: t of a training that goes on.
    """

    chained = False

    def __init__(self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1):
        super().__init__(optimizer, WarmRestartsSchedule(1, T_0, T_mult).factor, last_epoch, eta_min)
