"""Lion and Rprop: the gradient's sign gives the direction, its size nothing."""

from collections.abc import Iterable

from dlcourse.autograd import Parameter
from dlcourse.backend.device import Array, array_module
from dlcourse.optim.base import Optimizer
from dlcourse.optim.require import require, require_betas, require_non_negative
from dlcourse.registry import register
from dlcourse.types import NonNegative, Probability

__all__ = ["Lion", "Rprop"]


@register("optimizer", "lion")
class Lion(Optimizer):
    """Lion (Chen et al. 2023, algorithm 2), which PyTorch lacks.

    w <- (1 - lr weight_decay) w - lr sign(beta1 m + (1 - beta1) g);  m <- beta2 m + (1 - beta2) g

    Every weight moves by lr: the paper takes a rate 3 to 10 times smaller than AdamW's, and a decay as much larger.

    Args:
        params: the parameters to change.
        lr: learning rate.
        betas: how much of the momentum counts beside the gradient, and how much of it stays.
        weight_decay: share of the weight that goes each step, divided by lr.
        maximize: go up the gradient instead of down.
    Raises:
        ValueError: an argument is negative, or a beta is not in [0, 1).
    """

    elementwise = True

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: NonNegative = 1e-4,
        betas: tuple[Probability, Probability] = (0.9, 0.99),
        weight_decay: NonNegative = 0.0,
        *,
        maximize: bool = False,
    ):
        betas = require_betas(betas)
        require_non_negative(weight_decay=weight_decay)
        super().__init__(params, lr, state=("exp_avg",))
        self.betas, self.weight_decay, self.maximize = betas, weight_decay, maximize

    def update(self, weight: Array, grad: Array) -> None:
        (beta1, beta2), mean, xp = self.betas, self.state["exp_avg"], array_module(weight)
        self.shrink(weight)
        weight -= self.lr * xp.sign(beta1 * mean + (1 - beta1) * grad)
        mean *= beta2
        mean += (1 - beta2) * grad


@register("optimizer", "rprop")
class Rprop(Optimizer):
    """Resilient backpropagation (Riedmiller & Braun 1993), equal to ``torch.optim.Rprop``; for full batches.

    Each weight has its own step d, at first lr. Where the gradient keeps its sign d grows by etas[1]; where the sign
    changes d shrinks by etas[0], and the gradient counts as 0 in this step and the next.

    w <- w - d sign(g)

    Args:
        params: the parameters to change.
        lr: the first step of each weight; a schedule changes nothing later.
        etas: what a step is multiplied by after a change of sign, and else.
        step_sizes: the smallest and the largest step.
        maximize: go up the gradient instead of down.
    Raises:
        ValueError: an argument is out of its range.
    """

    elementwise = True

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: NonNegative = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50.0),
        *,
        maximize: bool = False,
    ):
        require(0 < etas[0] < 1 < etas[1], f"etas have to be below 1 (and above 0) and above 1, got {etas}")
        require(0 <= step_sizes[0] <= step_sizes[1], f"step_sizes have to be a range of at least 0, got {step_sizes}")
        super().__init__(params, lr, state={"previous": 0.0, "step_size": lr})
        self.etas, self.step_sizes, self.maximize = tuple(etas), tuple(step_sizes), maximize

    def update(self, weight: Array, grad: Array) -> None:
        previous, size, xp = self.state["previous"], self.state["step_size"], array_module(weight)
        agreement = xp.sign(grad * previous)
        shrink, grow = self.etas
        size *= xp.where(agreement > 0, grow, xp.where(agreement < 0, shrink, 1.0)).astype(size.dtype)
        xp.clip(size, *self.step_sizes, out=size)
        previous[...] = grad * (agreement >= 0)
        weight -= xp.sign(previous) * size
