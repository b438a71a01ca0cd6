"""ASGD: gradient descent that also averages the weights."""

from collections.abc import Iterable

from dlcourse.autograd import Parameter
from dlcourse.backend.device import Array, array_module
from dlcourse.optim.base import Optimizer
from dlcourse.optim.require import require_non_negative
from dlcourse.registry import register
from dlcourse.types import NonNegative

__all__ = ["ASGD"]


@register("optimizer", "asgd")
class ASGD(Optimizer):
    """Averaged gradient descent (Polyak & Juditsky 1992), equal to ``torch.optim.ASGD``.

    g = dL/dw + weight_decay w;  w <- (1 - lambd eta) w - eta g;  a <- a + (w - a) / max(1, t - 1 - t0)
    eta <- lr / (1 + lambd lr t)^alpha, at first lr

    The average a is ``state["ax"]``; the model computes with w. ``train.ema`` evaluates an average.

    Args:
        params: the parameters to change.
        lr: learning rate.
        lambd: how much the weights shrink, and the rate falls.
        alpha: the power with which the rate falls.
        t0: the step after which averaging starts.
        weight_decay: coefficient of the penalty weight_decay / 2 |w|^2.
        maximize: go up the gradient instead of down.
    Raises:
        ValueError: an argument is negative.
    """

    elementwise = True

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: NonNegative = 1e-2,
        lambd: NonNegative = 1e-4,
        alpha: NonNegative = 0.75,
        t0: NonNegative = 1e6,
        weight_decay: NonNegative = 0.0,
        *,
        maximize: bool = False,
    ):
        require_non_negative(lambd=lambd, alpha=alpha, t0=t0, weight_decay=weight_decay)
        super().__init__(params, lr, state={"ax": 0.0, "eta": lr})
        self.lambd, self.alpha, self.t0, self.weight_decay, self.maximize = lambd, alpha, t0, weight_decay, maximize

    def update(self, weight: Array, grad: Array) -> None:
        average, eta, step = self.state["ax"], self.state["eta"], self.step_number
        grad = self.decayed(weight, grad)
        weight *= 1 - self.lambd * eta
        weight -= eta * grad
        late = step - 1 > self.t0 + 1  # a number, or an array of the device that cannot be asked
        average += self.coefficient(1 / (late * (step - 1 - self.t0 - 1) + 1)) * (weight - average)
        lr = array_module(weight).asarray(self.lr, dtype=weight.dtype).astype("float64")
        eta[...] = lr / (1 + self.lambd * lr * step) ** self.alpha
