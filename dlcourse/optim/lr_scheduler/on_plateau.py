"""The scheduler that watches a metric."""

from collections.abc import Mapping, Sequence
from typing import Any

from dlcourse.optim.base import Optimizer
from dlcourse.optim.lr_scheduler.scheduler import one_per_group
from dlcourse.optim.plateau import Plateau
from dlcourse.optim.require import require

__all__ = ["ReduceLROnPlateau"]


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
        self.min_lrs = one_per_group(min_lr, optimizer, "min_lr")
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
