"""The base of the schedulers: a shape of the rate that counts its steps."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dlcourse.optim.base import Optimizer
from dlcourse.optim.require import require

__all__ = ["LRScheduler"]

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


def one_per_group(value: float | Sequence[float], optimizer: Optimizer, name: str) -> list[float]:
    """One number for each of the groups."""
    count = len(optimizer.param_groups)
    values = [float(each) for each in value] if isinstance(value, Sequence) else [float(value)] * count
    require(len(values) == count, f"{name} has to have one number for each of {count} groups, got {len(values)}")
    return values
