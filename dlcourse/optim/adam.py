"""Adam and AdamW: steps scaled by running moments of the gradient."""

from collections.abc import Iterable

from dlcourse.autograd import Parameter
from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import optim as kernels
from dlcourse.optim.base import Optimizer
from dlcourse.optim.require import require_betas, require_non_negative
from dlcourse.optim.stacked import StackedUpdate
from dlcourse.registry import register
from dlcourse.types import NonNegative, Probability

__all__ = ["Adam", "AdamW"]


@register("optimizer", "adam")
class Adam(Optimizer):
    """Adam (Kingma & Ba 2015), equal to ``torch.optim.Adam``.

    g = dL/dw + weight_decay w
    m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2
    w <- w - lr m' / (sqrt(v') + eps),  m' = m / (1 - beta1^t),  v' = v / (1 - beta2^t)

    with the step number t from 1. The weight decay is the L2 penalty's, coupled through the moments; see
    :class:`AdamW` for the other kind. With ``amsgrad`` (Reddi, Kale & Kumar 2018) v' is the largest v so far,
    corrected.

    Args:
        params: the parameters to change.
        lr: learning rate.
        betas: how much of the first and of the second moment stays.
        eps: keeps the divisor from 0; outside the root.
        weight_decay: coefficient of the penalty weight_decay / 2 |w|^2.
        amsgrad: divide by the largest second moment so far.
        maximize: go up the gradient instead of down.
    Raises:
        ValueError: an argument is negative, or a beta is not in [0, 1).
    Example:
        >>> w = nn.Parameter(np.array([1.0, -2.0], "float32"))
        >>> optimizer = optim.Adam([w], lr=0.25)
        >>> (w * w).sum().backward()
        >>> optimizer.step()  # the first step has the length lr in every direction
        >>> w.numpy().round(4).tolist()
        [0.75, -1.75]
    """

    decoupled = False

    skips_overflow = True

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: NonNegative = 1e-3,
        betas: tuple[Probability, Probability] = (0.9, 0.999),
        eps: NonNegative = 1e-8,
        weight_decay: NonNegative = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ):
        betas = require_betas(betas)
        require_non_negative(eps=eps, weight_decay=weight_decay)
        moments = "exp_avg", "exp_avg_sq"
        super().__init__(params, lr, state=(*moments, "max_exp_avg_sq") if amsgrad else moments)
        self.betas, self.eps, self.weight_decay = betas, eps, weight_decay
        self.amsgrad, self.maximize = amsgrad, maximize
        self.elementwise, self.skips_overflow = amsgrad, not amsgrad

    def update(self, weight: Array, grad: Array) -> None:
        if self.amsgrad:
            self._update_amsgrad(weight, grad)
            return
        settings = kernels.AdamSettings(*self.betas, self.eps, self.weight_decay, self.decoupled)
        moments = self.state["exp_avg"], self.state["exp_avg_sq"]
        kernels.adam_step(weight, grad, *moments, self.steps, self.lr, settings, self.flat.scaler)

    def stacked_update(self) -> StackedUpdate | None:
        if self.amsgrad:
            return None
        settings = *self.betas, self.eps, self.weight_decay, self.decoupled
        return StackedUpdate(kernels.adam_step_each, ("exp_avg", "exp_avg_sq"), settings, takes_step=True)

    def _update_amsgrad(self, weight: Array, grad: Array) -> None:
        (beta1, beta2), step, xp = self.betas, self.step_number, array_module(weight)
        mean, square, largest = (self.state[name] for name in ("exp_avg", "exp_avg_sq", "max_exp_avg_sq"))
        if self.decoupled:
            self.shrink(weight)
        else:
            grad = self.decayed(weight, grad)
        mean += (1 - beta1) * (grad - mean)
        square *= beta2
        square += (1 - beta2) * (grad * grad)
        xp.maximum(largest, square, out=largest)
        size = xp.sqrt(largest)
        size *= self.coefficient((1 - beta2**step) ** -0.5)
        size += self.eps
        weight -= self.lr * (self.coefficient(1 / (1 - beta1**step)) * (mean / size))


@register("optimizer", "adamw")
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019), equal to ``torch.optim.AdamW``.

    Before Adam's update, w <- (1 - lr weight_decay) w; the moments see the loss's gradient alone.

    Args:
        params: the parameters to change.
        lr: learning rate; also scales the decay.
        betas: how much of the first and of the second moment stays.
        eps: keeps the divisor from 0; outside the root.
        weight_decay: share of the weight that goes each step, divided by lr.
        amsgrad: divide by the largest second moment so far.
        maximize: go up the gradient instead of down.
    Raises:
        ValueError: an argument is negative, or a beta is not in [0, 1).
    """

    decoupled = True

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: NonNegative = 1e-3,
        betas: tuple[Probability, Probability] = (0.9, 0.999),
        eps: NonNegative = 1e-8,
        weight_decay: NonNegative = 0.01,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ):
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)
