"""Schedulers made of others."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from dlcourse.optim.base import Optimizer
from dlcourse.optim.lr_scheduler.scheduler import LRScheduler
from dlcourse.optim.require import require

__all__ = ["SequentialLR", "ChainedScheduler"]


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
