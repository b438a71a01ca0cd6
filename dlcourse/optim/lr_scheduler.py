"""PyTorch's learning-rate schedulers for a loop of one's own: ``scheduler.step()`` after each epoch or update.

Each takes the shape f(t) of the schedule that a config has by its name (``optim/schedules.py``) and applies it to the
rate of every parameter group; t counts the calls of :meth:`LRScheduler.step`.

    scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=30, gamma=0.1)
    for epoch in range(90):
        ...
        scheduler.step()
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from math import cos, floor, pi
from typing import Any, Literal

from dlcourse.errors import ArgumentError
from dlcourse.optim.base import Optimizer
from dlcourse.optim.cycles import CyclicSchedule, OneCycleSchedule, WarmRestartsSchedule
from dlcourse.optim.plateau import Plateau
from dlcourse.optim.ramps import LinearSchedule, PolynomialSchedule
from dlcourse.optim.require import require
from dlcourse.optim.schedules import ExponentialSchedule, MultiStepSchedule, StepSchedule

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]

Shape = Callable[[int], float]
"""f(t), the factor after t steps."""


class LRScheduler:
    """Base of the schedulers: rate = bottom + (initial rate - bottom) f(t), group by group.

    As in PyTorch a rate that was changed by hand counts: step t multiplies what is above the bottom by f(t) / f(t - 1).

    Args:
        optimizer: whose rates are set.
        shape: f; where there are several groups, one function each may be given.
        last_epoch: t of a training that goes on; its groups hold "initial_lr" then.
        bottom: the rate that is left where f is 0.
    Attributes:
        last_epoch: t.
        base_lrs: the groups' initial rates.
    Raises:
        ValueError: an argument is out of its range, or a training that goes on lacks the initial rates.
    """

    chained = True
    """Whether the next rate is made of the one that is there, instead of the initial one."""

    def __init__(self, optimizer: Optimizer, shape: Shape | Sequence[Shape], last_epoch: int = -1, bottom: float = 0.0):
        require(isinstance(optimizer, Optimizer), f"expected an optimizer, got a {type(optimizer).__name__}")
        self.optimizer, self.bottom, self.last_epoch = optimizer, bottom, last_epoch
        count = len(optimizer.param_groups)
        self.shapes = list(shape) if isinstance(shape, Sequence) else [shape] * count
        require(len(self.shapes) == count, f"expected one function for each of {count} groups, got {len(self.shapes)}")
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            require("initial_lr" in group, f"last_epoch={last_epoch}: param_groups[{i}] lacks its 'initial_lr'")
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self._last_lr = [group["lr"] for group in optimizer.param_groups]
        self.step()

    def step(self) -> None:
        """Go on to the next t and set the rates."""
        self.last_epoch += 1
        self._set([self._next(i, group["lr"]) for i, group in enumerate(self.optimizer.param_groups)])

    def restart(self) -> None:
        """Go back to t = 0, from the initial rates."""
        self.last_epoch = 0
        self._set([self._closed(i) for i in range(len(self.base_lrs))])

    def _next(self, i: int, rate: float) -> float:
        before = self.shapes[i](self.last_epoch - 1) if self.last_epoch > 0 else 1.0
        if not self.chained or before == 0:
            return self._closed(i)
        now = self.shapes[i](self.last_epoch)
        return rate if now == before else self.bottom + (rate - self.bottom) * (now / before)

    def _closed(self, i: int) -> float:
        return self.bottom + (self.base_lrs[i] - self.bottom) * self.shapes[i](self.last_epoch)

    def _set(self, rates: list[float]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self._last_lr = rates

    def get_last_lr(self) -> list[float]:
        """The rates that were set last, one for each group."""
        return list(self._last_lr)

    def state_dict(self) -> dict[str, Any]:
        """All that a later step depends on but the optimizer and functions."""
        return {"last_epoch": self.last_epoch, "base_lrs": list(self.base_lrs), "_last_lr": list(self._last_lr)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave; the optimizer's rates are in its own state."""
        vars(self).update(state_dict)


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
        tops = _each(max_lr, optimizer, "max_lr")
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
        ends = zip(_each(base_lr, optimizer, "base_lr"), _each(max_lr, optimizer, "max_lr"), strict=True)
        shape = CyclicSchedule(1, 0.0, step_size_up, step_size_down, mode, gamma)
        height: Shape = shape.factor
        if scale_fn is not None:
            plain = CyclicSchedule(1, 0.0, step_size_up, step_size_down)

            def height(t: int) -> float:
                return plain.factor(t) * scale_fn(t if scale_mode == "iterations" else floor(1 + t / plain.period))

        momenta = (base_momentum, max_momentum) if cycle_momentum else None
        super().__init__(optimizer, height, list(ends), momenta, height, last_epoch)


def _each(value: float | Sequence[float], optimizer: Optimizer, name: str) -> list[float]:
    """One number for each of the groups."""
    count = len(optimizer.param_groups)
    values = [float(each) for each in value] if isinstance(value, Sequence) else [float(value)] * count
    require(len(values) == count, f"{name} has to have one number for each of {count} groups, got {len(values)}")
    return values


class _Several(LRScheduler):
    """What schedulers share that are made of others."""

    schedulers: list[LRScheduler]

    def _take(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None) -> None:
        name = type(self).__name__
        require(bool(schedulers), f"{name} has to have at least one scheduler, got none")
        for each in schedulers:
            fits = isinstance(each, LRScheduler)
            require(fits, f"{name} takes schedulers that step without a metric, got a {type(each).__name__}")
        self.schedulers, self.optimizer = list(schedulers), optimizer or schedulers[0].optimizer
        own = all(each.optimizer is self.optimizer for each in schedulers)
        require(own, "the schedulers have to be of this optimizer")

    def state_dict(self) -> dict[str, Any]:
        own = {name: value for name, value in vars(self).items() if name in ("last_epoch", "_last_lr")}
        return {**own, "_schedulers": [each.state_dict() for each in self.schedulers]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave.

        Raises:
            ValueError: it is of another number of schedulers.
        """
        states = state_dict["_schedulers"]
        count = len(self.schedulers)
        require(len(states) == count, f"there are {count} schedulers, the state to load is of {len(states)}")
        for scheduler, state in zip(self.schedulers, states, strict=True):
            scheduler.load_state_dict(state)
        vars(self).update({name: value for name, value in state_dict.items() if name != "_schedulers"})


class SequentialLR(_Several):
    """One scheduler after another, each from its t = 0, ``torch.optim.lr_scheduler.SequentialLR``.

    Args:
        optimizer: whose rates are set.
        schedulers: of that optimizer.
        milestones: the steps at which the next one begins, one fewer.
        last_epoch: stays -1; a training that goes on loads a state.
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int], last_epoch: int = -1
    ):
        self._take(schedulers, optimizer)
        nested = next((type(each).__name__ for each in schedulers if isinstance(each, _Several)), None)
        require(nested is None, f"SequentialLR takes single schedulers, each of which begins anew, got a {nested}")
        count = len(schedulers) - 1
        require(len(milestones) == count, f"milestones have to be {count}, one fewer than schedulers, got {milestones}")
        self.milestones, self.last_epoch = list(milestones), last_epoch + 1
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        for scheduler in self.schedulers:
            scheduler.last_epoch -= 1
        self.schedulers[0].step()
        self._last_lr = self.schedulers[0].get_last_lr()

    def step(self) -> None:
        self.last_epoch += 1
        place = bisect_right(self.milestones, self.last_epoch)
        scheduler = self.schedulers[place]
        if place and self.milestones[place - 1] == self.last_epoch:
            scheduler.restart()
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()


class ChainedScheduler(_Several):
    """Several schedulers at once, each of whose steps goes on from the rate that the one before it set,
    ``torch.optim.lr_scheduler.ChainedScheduler``: where each multiplies the rate, it is multiplied by all.

    Args:
        schedulers: of one optimizer; none of :class:`ReduceLROnPlateau`, whose step takes a metric.
        optimizer: theirs, if given.
    Example:
        >>> optimizer = optim.SGD([nn.Parameter(np.zeros(1, "float32"))], lr=1.0)
        >>> warmup = optim.lr_scheduler.ConstantLR(optimizer, factor=0.5, total_iters=1)
        >>> decay = optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
        >>> scheduler = optim.lr_scheduler.ChainedScheduler([warmup, decay])
        >>> scheduler.step()
        >>> scheduler.get_last_lr()
        [0.5]
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None):
        self._take(schedulers, optimizer)
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def step(self) -> None:
        for scheduler in self.schedulers:
            scheduler.step()
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]


class ReduceLROnPlateau:
    """The rate falls when a metric no longer improves, ``torch.optim.lr_scheduler.ReduceLROnPlateau``.

    ``scheduler.step(metric)`` after each evaluation.

    Args:
        optimizer: whose rates are set.
        mode: "min" or "max", which is better.
        factor: what a drop multiplies by.
        patience: evaluations without improvement that are borne.
        threshold: what counts as an improvement.
        threshold_mode: "rel", a share of the best value, or "abs".
        cooldown: evaluations after a drop that do not count.
        min_lr: the least rate, or one for each group.
        eps: a smaller drop is left out.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0,
        eps: float = 1e-8,
    ):
        require(isinstance(optimizer, Optimizer), f"expected an optimizer, got a {type(optimizer).__name__}")
        require(0 < factor < 1, f"factor has to be above 0 and below 1, got {factor}")
        self.optimizer, self.factor, self.eps, self.last_epoch = optimizer, factor, eps, 0
        self.min_lrs = _each(min_lr, optimizer, "min_lr")
        self.plateau = Plateau(mode, patience, threshold, threshold_mode, cooldown)
        self._last_lr = [group["lr"] for group in optimizer.param_groups]

    def step(self, metrics: Any) -> None:
        """Look at the metric of another evaluation, a number or a tensor of one."""
        self.last_epoch += 1
        if self.plateau.reached(float(metrics.item() if hasattr(metrics, "item") else metrics)):
            for group, least in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
                lower = max(group["lr"] * self.factor, least)
                if group["lr"] - lower > self.eps:
                    group["lr"] = lower
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def get_last_lr(self) -> list[float]:
        """The rates as they are, one for each group."""
        return list(self._last_lr)

    def state_dict(self) -> dict[str, Any]:
        """All that a later step depends on but the optimizer."""
        return {**self.plateau.state_dict(), "last_epoch": self.last_epoch, "_last_lr": list(self._last_lr)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave."""
        self.plateau.load_state_dict(state_dict)
        self.last_epoch, self._last_lr = state_dict["last_epoch"], list(state_dict["_last_lr"])
