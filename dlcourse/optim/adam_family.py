"""Adamax, NAdam and RAdam: Adam with another norm, with Nesterov's momentum, with a cautious start."""

from collections.abc import Iterable
from typing import Any

from dlcourse.autograd import Parameter
from dlcourse.backend.device import Array, array_module
from dlcourse.optim.base import Optimizer
from dlcourse.optim.require import require_betas, require_non_negative
from dlcourse.registry import register
from dlcourse.types import NonNegative, Probability

__all__ = ["Adamax", "NAdam", "RAdam"]


@register("optimizer", "adamax")
class Adamax(Optimizer):
    """Adamax (Kingma & Ba 2015, section 7), equal to ``torch.optim.Adamax``.

    g = dL/dw + weight_decay w;  m <- beta1 m + (1 - beta1) g;  u <- max(beta2 u, |g| + eps)
    w <- w - lr / (1 - beta1^t) m / u

    Args:
        params: the parameters to change.
        lr: learning rate.
        betas: how much of the first moment, and of the largest gradient, stays.
        eps: keeps the divisor from 0.
        weight_decay: coefficient of the penalty weight_decay / 2 |w|^2.
        maximize: go up the gradient instead of down.
    Raises:
        ValueError: an argument is negative, or a beta is not in [0, 1).
    """

    elementwise = True

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: NonNegative = 2e-3,
        betas: tuple[Probability, Probability] = (0.9, 0.999),
        eps: NonNegative = 1e-8,
        weight_decay: NonNegative = 0.0,
        *,
        maximize: bool = False,
    ):
        betas = require_betas(betas)
        require_non_negative(eps=eps, weight_decay=weight_decay)
        super().__init__(params, lr, state=("exp_avg", "exp_inf"))
        self.betas, self.eps, self.weight_decay, self.maximize = betas, eps, weight_decay, maximize

    def update(self, weight: Array, grad: Array) -> None:
        (beta1, beta2), mean, largest = self.betas, self.state["exp_avg"], self.state["exp_inf"]
        grad = self.decayed(weight, grad)
        mean += (1 - beta1) * (grad - mean)
        largest *= beta2
        array_module(weight).maximum(largest, abs(grad) + self.eps, out=largest)
        weight -= self.lr * (self.coefficient(1 / (1 - beta1**self.step_number)) * (mean / largest))


class _Moments(Optimizer):
    """What NAdam and RAdam share: Adam's two moments, and either kind of weight decay."""

    elementwise = True
    decoupled_weight_decay: bool
    betas: tuple[float, float]

    def moments(self, weight: Array, grad: Array) -> tuple[Array, Array, Array]:
        """The gradient and both moments after it; the weights have lost a decoupled decay's share."""
        (beta1, beta2), mean, square = self.betas, self.state["exp_avg"], self.state["exp_avg_sq"]
        if self.decoupled_weight_decay:
            self.shrink(weight)
        else:
            grad = self.decayed(weight, grad)
        mean += (1 - beta1) * (grad - mean)
        square *= beta2
        square += (1 - beta2) * (grad * grad)
        return grad, mean, square


@register("optimizer", "nadam")
class NAdam(_Moments):
    """Adam with Nesterov's momentum (Dozat 2016), equal to ``torch.optim.NAdam``.

    m and v as Adam's;  mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2);  p_t = mu_1 ... mu_t
    w <- w - lr ((1 - mu_t) / (1 - p_t) g + mu_{t+1} / (1 - p_{t+1}) m) / (sqrt(v / (1 - beta2^t)) + eps)

    Args:
        params: the parameters to change.
        lr: learning rate.
        betas: how much of the first and of the second moment stays.
        eps: keeps the divisor from 0; outside the root.
        weight_decay: coefficient of the penalty weight_decay / 2 |w|^2.
        momentum_decay: how fast the momentum grows to beta1.
        decoupled_weight_decay: shrink the weights instead, as AdamW does.
        maximize: go up the gradient instead of down.
    Raises:
        ValueError: an argument is negative, or a beta is not in [0, 1).
    """

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: NonNegative = 2e-3,
        betas: tuple[Probability, Probability] = (0.9, 0.999),
        eps: NonNegative = 1e-8,
        weight_decay: NonNegative = 0.0,
        momentum_decay: NonNegative = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ):
        betas = require_betas(betas)
        require_non_negative(eps=eps, weight_decay=weight_decay, momentum_decay=momentum_decay)
        # rest is 1 - p_t, so that it is 0 at first; the same number for each weight, which a group may skip.
        super().__init__(params, lr, state=("exp_avg", "exp_avg_sq", "rest"))
        self.betas, self.eps, self.weight_decay, self.maximize = betas, eps, weight_decay, maximize
        self.momentum_decay, self.decoupled_weight_decay = momentum_decay, decoupled_weight_decay

    def update(self, weight: Array, grad: Array) -> None:
        grad, mean, square = self.moments(weight, grad)
        step, rest = self.step_number, self.state["rest"]
        now, later = (self.betas[0] * (1 - 0.5 * 0.96 ** (t * self.momentum_decay)) for t in (step, step + 1))
        rest *= self.coefficient(now)
        rest += self.coefficient(1 - now)
        share = self.coefficient(1 / later - 1)  # later m / (1 - p_{t+1}) = m / (rest + share)
        update = self.coefficient(1 - now) * (grad / rest)
        update += mean / (rest + share)
        size = array_module(weight).sqrt(square * self.coefficient(1 / (1 - self.betas[1] ** step)))
        size += self.eps
        update /= size
        update *= self.lr
        weight -= update


@register("optimizer", "radam")
class RAdam(_Moments):
    """Rectified Adam (Liu et al. 2020), equal to ``torch.optim.RAdam``.

    m' = m / (1 - beta1^t), as Adam's;  rho = rho_inf - 2 t beta2^t / (1 - beta2^t),  rho_inf = 2 / (1 - beta2) - 1
    While rho <= 5, where the second moment is not known well enough, w <- w - lr m'; then

    w <- w - lr m' r sqrt(1 - beta2^t) / (sqrt(v) + eps),
    r^2 = (rho - 4) (rho - 2) rho_inf / ((rho_inf - 4) (rho_inf - 2) rho)

    Args:
        params: the parameters to change.
        lr: learning rate.
        betas: how much of the first and of the second moment stays.
        eps: keeps the divisor from 0; outside the root.
        weight_decay: coefficient of the penalty weight_decay / 2 |w|^2.
        decoupled_weight_decay: shrink the weights instead, as AdamW does.
        maximize: go up the gradient instead of down.
    Raises:
        ValueError: an argument is negative, or a beta is not in [0, 1).
    """

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: NonNegative = 1e-3,
        betas: tuple[Probability, Probability] = (0.9, 0.999),
        eps: NonNegative = 1e-8,
        weight_decay: NonNegative = 0.0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ):
        betas = require_betas(betas)
        require_non_negative(eps=eps, weight_decay=weight_decay)
        super().__init__(params, lr, state=("exp_avg", "exp_avg_sq"))
        self.betas, self.eps, self.weight_decay, self.maximize = betas, eps, weight_decay, maximize
        self.decoupled_weight_decay = decoupled_weight_decay

    def update(self, weight: Array, grad: Array) -> None:
        _, mean, square = self.moments(weight, grad)
        plain, rectified = self._shares()
        size = array_module(weight).sqrt(square)
        size += self.eps
        update = mean * (self.coefficient(plain) + self.coefficient(rectified) / size)
        weight -= self.lr * (self.coefficient(1 / (1 - self.betas[0] ** self.step_number)) * update)

    def _shares(self) -> tuple[Any, Any]:
        """Of the plain and of the rectified step; one of them is 0."""
        step, beta2 = self.step_number, self.betas[1]
        final, rest = 2 / (1 - beta2) - 1, 1 - beta2**step
        rho = final - 2 * step * beta2**step / rest
        known = rho > 5  # a number, or an array of the device that cannot be asked
        safe = known * rho + (1 - known) * 6.0
        rectified = ((safe - 4) * (safe - 2) * final / ((final - 4) * (final - 2) * safe) * rest) ** 0.5
        return 1.0 - known, known * rectified
