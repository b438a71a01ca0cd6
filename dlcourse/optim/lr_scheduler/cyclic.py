"""Schedulers that go up and down, momentum the other way."""

from collections.abc import Callable, Sequence
from math import floor
from typing import Literal

from dlcourse.errors import ArgumentError
from dlcourse.optim.base import Optimizer
from dlcourse.optim.cycles import CyclicSchedule, OneCycleSchedule
from dlcourse.optim.lr_scheduler.scheduler import LRScheduler, Shape, one_per_group
from dlcourse.optim.require import require

__all__ = ["OneCycleLR", "CyclicLR"]


class _Cyclic(LRScheduler):
    """What OneCycleLR and CyclicLR share: the rate between two ends, and the momentum the other way round."""

    chained = False

    def __init__(
        self,
        optimizer: Optimizer,
        shape: Shape,
        ends: Sequence[tuple[float, float]],
        momenta: tuple[float, float] | None,
        momentum_shape: Shape,
        last_epoch: int,
    ):
        self.ends, self.momenta, self.momentum_shape = list(ends), momenta, momentum_shape
        if momenta is not None:
            sound = all("momentum" in group or "betas" in group for group in optimizer.param_groups)
            require(sound, "cycle_momentum needs an optimizer with a momentum or betas; pass cycle_momentum=False")
        super().__init__(optimizer, shape, last_epoch)
        for group, (low, _) in zip(optimizer.param_groups, self.ends, strict=True):
            group["initial_lr"] = low
        self.base_lrs = [low for low, _ in self.ends]

    def _closed(self, i: int) -> float:
        low, high = self.ends[i]
        return low + (high - low) * self.shapes[i](self.last_epoch)

    def _set(self, rates: list[float]) -> None:
        super()._set(rates)
        if self.momenta is None:
            return
        low, high = self.momenta
        momentum = high - (high - low) * self.momentum_shape(self.last_epoch)
        for group in self.optimizer.param_groups:
            if "momentum" in group:
                group["momentum"] = momentum
            else:
                group["betas"] = (momentum, *group["betas"][1:])


class OneCycleLR(_Cyclic):
    """Up to ``max_lr`` and far down again, the momentum the other way round, ``torch.optim.lr_scheduler.OneCycleLR``.

    Smith & Topin 2018. The rates are set from ``max_lr``; those of the optimizer do not count.

    Args:
        optimizer: whose rates are set.
        max_lr: the peak, or one for each group.
        total_steps: of the whole cycle; else ``epochs`` times ``steps_per_epoch``.
        epochs: of the whole cycle.
        steps_per_epoch: updates of one.
        pct_start: share of the steps spent going up.
        anneal_strategy: "cos" or "linear".
        cycle_momentum: whether the momentum (of Adam the first beta) falls while the rate rises.
        base_momentum: the momentum at the peak.
        max_momentum: the momentum at both ends.
        div_factor: the peak divided by the first rate.
        final_div_factor: the first rate divided by the last.
        three_phase: down to the first rate as fast as up, then to the last.
        last_epoch: t of a training that goes on.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ):
        if total_steps is None:
            require(
                bool(epochs and steps_per_epoch), "OneCycleLR has to have total_steps, or epochs and steps_per_epoch"
            )
            total_steps = epochs * steps_per_epoch  # type: ignore[operator]
        tops = one_per_group(max_lr, optimizer, "max_lr")
        settings = (total_steps, pct_start, div_factor, final_div_factor)
        rates = OneCycleSchedule(*settings, anneal_strategy=anneal_strategy, three_phase=three_phase)
        first = rates.first
        self.total_steps = total_steps
        momenta = (base_momentum, max_momentum) if cycle_momentum else None
        super().__init__(
            optimizer,
            lambda t: (rates.factor(t) - first) / (1 - first) if first != 1 else 0.0,
            [(top * first, top) for top in tops],
            momenta,
            rates.momentum_share,
            last_epoch,
        )

    def step(self) -> None:
        """Go on to the next t and set the rates.

        Raises:
            ValueError: the cycle is over.
        """
        if self.last_epoch + 1 > self.total_steps:
            raise ArgumentError(f"OneCycleLR: the cycle has {self.total_steps} steps, and they are taken")
        super().step()


class CyclicLR(_Cyclic):
    """Up and down between two rates (Smith 2017), ``torch.optim.lr_scheduler.CyclicLR``.

    Args:
        optimizer: whose rates are set.
        base_lr: the lower end, or one for each group.
        max_lr: the upper end, or one for each group.
        step_size_up: steps from the lower to the upper end.
        step_size_down: steps back; as many if left out.
        mode: "triangular", "triangular2" (half as high each time) or "exp_range" (times gamma^t).
        gamma: of "exp_range".
        scale_fn: a function that scales the height, instead of ``mode``.
        scale_mode: what it is a function of: the "cycle" (from 1) or the "iterations" t.
        cycle_momentum: whether the momentum (of Adam the first beta) falls while the rate rises.
        base_momentum: the momentum at the upper end of the rate.
        max_momentum: the momentum at its lower end.
        last_epoch: t of a training that goes on.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | Sequence[float],
        max_lr: float | Sequence[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float = 0.8,
        max_momentum: float = 0.9,
        last_epoch: int = -1,
    ):
        ends = zip(
            one_per_group(base_lr, optimizer, "base_lr"), one_per_group(max_lr, optimizer, "max_lr"), strict=True
        )
        shape = CyclicSchedule(1, 0.0, step_size_up, step_size_down, mode, gamma)
        height: Shape = shape.factor
        if scale_fn is not None:
            plain = CyclicSchedule(1, 0.0, step_size_up, step_size_down)

            def height(t: int) -> float:
                return plain.factor(t) * scale_fn(t if scale_mode == "iterations" else floor(1 + t / plain.period))

        momenta = (base_momentum, max_momentum) if cycle_momentum else None
        super().__init__(optimizer, height, list(ends), momenta, height, last_epoch)
