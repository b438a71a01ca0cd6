"""AdaGrad, RMSProp and Adadelta: a learning rate for each weight, by the size of its past gradients."""

from collections.abc import Iterable

from dlcourse.autograd import Parameter
from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import optim as kernels
from dlcourse.optim.base import Optimizer
from dlcourse.optim.require import require, require_non_negative
from dlcourse.optim.stacked import StackedUpdate
from dlcourse.registry import register
from dlcourse.types import Fraction, NonNegative

__all__ = ["Adadelta", "Adagrad", "RMSprop"]


@register("optimizer", "adagrad")
class Adagrad(Optimizer):
    """AdaGrad (Duchi, Hazan & Singer 2011), equal to ``torch.optim.Adagrad``.

    g = dL/dw + weight_decay w;  s <- s + g^2;  w <- w - lr' g / (sqrt(s) + eps),  lr' = lr / (1 + (t - 1) lr_decay)

    with the step number t from 1.

    Args:
        params: the parameters to change.
        lr: learning rate.
        lr_decay: how fast the rate falls with the steps.
        weight_decay: coefficient of the penalty weight_decay / 2 |w|^2.
        initial_accumulator_value: s at first.
        eps: keeps the divisor from 0; outside the root.
        maximize: go up the gradient instead of down.
    Raises:
        ValueError: an argument is negative.
    """

    skips_overflow = True

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: NonNegative = 1e-2,
        lr_decay: NonNegative = 0.0,
        weight_decay: NonNegative = 0.0,
        initial_accumulator_value: NonNegative = 0.0,
        eps: NonNegative = 1e-10,
        *,
        maximize: bool = False,
    ):
        require_non_negative(lr_decay=lr_decay, eps=eps, weight_decay=weight_decay)
        require_non_negative(initial_accumulator_value=initial_accumulator_value)
        super().__init__(params, lr, state={"sum_sq": initial_accumulator_value})
        self.lr_decay, self.initial_accumulator_value = lr_decay, initial_accumulator_value
        self.eps, self.weight_decay, self.maximize = eps, weight_decay, maximize

    def update(self, weight: Array, grad: Array) -> None:
        lr = self.lr
        if self.lr_decay:
            # As a product of two numbers in the weights' type it is the same where the device holds the rate.
            lr = array_module(weight).asarray(lr, dtype=weight.dtype)
            lr = lr * self.coefficient(1 / (1 + (self.step_number - 1) * self.lr_decay))
        settings = lr, self.eps, self.weight_decay
        kernels.adagrad_step(weight, grad, self.state["sum_sq"], *settings, self.flat.scaler)

    def stacked_update(self) -> StackedUpdate | None:
        if self.lr_decay:
            return None
        return StackedUpdate(kernels.adagrad_step_each, ("sum_sq",), (self.eps, self.weight_decay))


@register("optimizer", "rmsprop")
class RMSprop(Optimizer):
    """RMSProp (Tieleman & Hinton 2012), equal to ``torch.optim.RMSprop``.

    g = dL/dw + weight_decay w;  s <- alpha s + (1 - alpha) g^2;  u = g / (sqrt(s) + eps)
    w <- w - lr u, or with momentum  v <- momentum v + u;  w <- w - lr v

    ``centered`` divides by the gradient's standard deviation instead, sqrt(s - m^2) with m <- alpha m + (1 - alpha) g
    (Graves 2013).

    Args:
        params: the parameters to change.
        lr: learning rate.
        alpha: how much of the mean square stays.
        eps: keeps the divisor from 0; outside the root.
        weight_decay: coefficient of the penalty weight_decay / 2 |w|^2.
        momentum: share of the velocity that stays; 0 keeps no velocity.
        centered: divide by the standard deviation instead of the root of the mean square.
        maximize: go up the gradient instead of down.
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
        centered: bool = False,
        *,
        maximize: bool = False,
    ):
        require(0 <= alpha <= 1, f"alpha has to lie in [0, 1], got {alpha}")
        require_non_negative(eps=eps, momentum=momentum, weight_decay=weight_decay)
        wanted = {"square_avg": True, "velocity": momentum > 0, "grad_avg": centered}
        super().__init__(params, lr, state=[name for name, needed in wanted.items() if needed])
        self.alpha, self.eps, self.momentum, self.weight_decay = alpha, eps, momentum, weight_decay
        self.centered, self.maximize = centered, maximize
        self.elementwise, self.skips_overflow = centered, not centered

    def update(self, weight: Array, grad: Array) -> None:
        if self.centered:
            self._update_centered(weight, grad)
            return
        square_avg, velocity = self.state["square_avg"], self.state.get("velocity")
        settings = kernels.RMSpropSettings(self.alpha, self.eps, self.momentum, self.weight_decay)
        kernels.rmsprop_step(weight, grad, square_avg, velocity, self.lr, settings, self.flat.scaler)

    def stacked_update(self) -> StackedUpdate | None:
        if self.centered:
            return None
        settings = "velocity" in self.state, self.alpha, self.eps, self.momentum, self.weight_decay
        return StackedUpdate(kernels.rmsprop_step_each, ("square_avg", "velocity"), settings)

    def _update_centered(self, weight: Array, grad: Array) -> None:
        square, mean, xp = self.state["square_avg"], self.state["grad_avg"], array_module(weight)
        grad = self.decayed(weight, grad)
        square *= self.alpha
        square += (1 - self.alpha) * (grad * grad)
        mean += (1 - self.alpha) * (grad - mean)
        update = grad / (xp.sqrt(square - mean * mean) + self.eps)
        if self.momentum:
            velocity = self.state["velocity"]
            velocity *= self.momentum
            velocity += update
            update = velocity
        weight -= self.lr * update


@register("optimizer", "adadelta")
class Adadelta(Optimizer):
    """Adadelta (Zeiler 2012), equal to ``torch.optim.Adadelta``.

    g = dL/dw + weight_decay w;  s <- rho s + (1 - rho) g^2
    d = sqrt(a + eps) / sqrt(s + eps) g;  a <- rho a + (1 - rho) d^2;  w <- w - lr d

    The step has the weights' own unit, so that a rate of 1 is what the paper has.

    Args:
        params: the parameters to change.
        lr: learning rate.
        rho: how much of both mean squares stays.
        eps: inside both roots; it sets the size of the first steps.
        weight_decay: coefficient of the penalty weight_decay / 2 |w|^2.
        maximize: go up the gradient instead of down.
    Raises:
        ValueError: an argument is negative, or rho is above 1.
    """

    elementwise = True

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: NonNegative = 1.0,
        rho: Fraction = 0.9,
        eps: NonNegative = 1e-6,
        weight_decay: NonNegative = 0.0,
        *,
        maximize: bool = False,
    ):
        require(0 <= rho <= 1, f"rho has to lie in [0, 1], got {rho}")
        require_non_negative(eps=eps, weight_decay=weight_decay)
        super().__init__(params, lr, state=("square_avg", "acc_delta"))
        self.rho, self.eps, self.weight_decay, self.maximize = rho, eps, weight_decay, maximize

    def update(self, weight: Array, grad: Array) -> None:
        square, steps, xp = self.state["square_avg"], self.state["acc_delta"], array_module(weight)
        grad = self.decayed(weight, grad)
        square *= self.rho
        square += (1 - self.rho) * (grad * grad)
        delta = xp.sqrt(steps + self.eps)
        delta /= xp.sqrt(square + self.eps)
        delta *= grad
        steps *= self.rho
        steps += (1 - self.rho) * (delta * delta)
        weight -= self.lr * delta
