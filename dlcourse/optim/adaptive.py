"""AdaGrad and RMSProp: a learning rate for each weight, by the size of its past gradients."""

from collections.abc import Iterable

from dlcourse.autograd import Parameter
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import optim as kernels
from dlcourse.optim.base import Optimizer, require, require_non_negative
from dlcourse.registry import register
from dlcourse.types import Fraction, NonNegative

__all__ = ["Adagrad", "RMSprop"]


@register("optimizer", "adagrad")
class Adagrad(Optimizer):
    """AdaGrad (Duchi, Hazan & Singer 2011), equal to ``torch.optim.Adagrad``.

    g = dL/dw + weight_decay w;  s <- s + g^2;  w <- w - lr g / (sqrt(s) + eps)

    Args:
        params: the parameters to change.
        lr: learning rate.
        eps: keeps the divisor from 0; outside the root.
        weight_decay: coefficient of the penalty weight_decay / 2 |w|^2.
    Raises:
        ValueError: an argument is negative.
    """

    skips_overflow = True

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: NonNegative = 1e-2,
        *,
        eps: NonNegative = 1e-10,
        weight_decay: NonNegative = 0.0,
    ):
        require_non_negative(eps=eps, weight_decay=weight_decay)
        super().__init__(params, lr, state=("sum_sq",))
        self.eps, self.weight_decay = eps, weight_decay

    def update(self, weight: Array, grad: Array) -> None:
        settings = self.lr, self.eps, self.weight_decay
        kernels.adagrad_step(weight, grad, self.state["sum_sq"], *settings, self.flat.scaler)


@register("optimizer", "rmsprop")
class RMSprop(Optimizer):
    """RMSProp (Tieleman & Hinton 2012), equal to ``torch.optim.RMSprop``.

    g = dL/dw + weight_decay w;  s <- alpha s + (1 - alpha) g^2;  u = g / (sqrt(s) + eps)
    w <- w - lr u, or with momentum  v <- momentum v + u;  w <- w - lr v

    Args:
        params: the parameters to change.
        lr: learning rate.
        alpha: how much of the mean square stays.
        eps: keeps the divisor from 0; outside the root.
        momentum: share of the velocity that stays; 0 keeps no velocity.
        weight_decay: coefficient of the penalty weight_decay / 2 |w|^2.
    Raises:
        ValueError: an argument is negative, or alpha is above 1.
    """

    skips_overflow = True

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: NonNegative = 1e-2,
        alpha: Fraction = 0.99,
        eps: NonNegative = 1e-8,
        weight_decay: NonNegative = 0.0,
        momentum: NonNegative = 0.0,
    ):
        require(0 <= alpha <= 1, f"alpha has to lie in [0, 1], got {alpha}")
        require_non_negative(eps=eps, momentum=momentum, weight_decay=weight_decay)
        super().__init__(params, lr, state=("square_avg", "velocity") if momentum else ("square_avg",))
        self.alpha, self.eps, self.momentum, self.weight_decay = alpha, eps, momentum, weight_decay

    def update(self, weight: Array, grad: Array) -> None:
        square_avg, velocity = self.state["square_avg"], self.state.get("velocity")
        settings = kernels.RMSpropSettings(self.alpha, self.eps, self.momentum, self.weight_decay)
        kernels.rmsprop_step(weight, grad, square_avg, velocity, self.lr, settings, self.flat.scaler)
