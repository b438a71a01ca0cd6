"""Stochastic gradient descent, with momentum and Nesterov's."""

from collections.abc import Iterable

from dlcourse.autograd import Parameter
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import optim as kernels
from dlcourse.optim.base import Optimizer
from dlcourse.optim.require import require, require_non_negative
from dlcourse.optim.stacked import StackedUpdate
from dlcourse.registry import register
from dlcourse.types import NonNegative

__all__ = ["SGD"]


@register("optimizer", "sgd")
class SGD(Optimizer):
    """g = dL/dw + weight_decay w;  v <- momentum v + g;  w <- w - lr v, or with Nesterov  w <- w - lr (g + momentum v).

    Equal to ``torch.optim.SGD``: the learning rate multiplies the velocity. Sutskever et al. 2013 put it inside the
    velocity, which differs where the learning rate changes. With dampening, v <- momentum v + (1 - dampening) g from
    the second step on.

    Args:
        params: the parameters to change.
        lr: learning rate.
        momentum: share of the velocity that stays; 0 keeps no velocity.
        nesterov: look ahead by the momentum (Nesterov 1983); needs momentum, and no dampening.
        weight_decay: coefficient of the penalty weight_decay / 2 |w|^2.
        dampening: share of the gradient that does not enter the velocity.
        maximize: go up the gradient instead of down.
    Raises:
        ValueError: an argument is negative, or ``nesterov`` comes without momentum or with dampening.
    Example:
        >>> w = nn.Parameter(np.array([1.0, 2.0], "float32"))
        >>> optimizer = optim.SGD([w], lr=0.25)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> w.tolist()
        [0.5, 1.0]
    """

    skips_overflow = True

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: NonNegative,
        momentum: NonNegative = 0.0,
        *,
        nesterov: bool = False,
        weight_decay: NonNegative = 0.0,
        dampening: float = 0.0,
        maximize: bool = False,
    ):
        require_non_negative(momentum=momentum, weight_decay=weight_decay)
        require(not nesterov or (momentum > 0 and not dampening), "nesterov needs a momentum above 0 and no dampening")
        super().__init__(params, lr, state=("velocity",) if momentum else ())
        self.momentum, self.dampening, self.nesterov = momentum, dampening, nesterov
        self.weight_decay, self.maximize = weight_decay, maximize
        self.elementwise = bool(momentum and dampening)
        self.skips_overflow = not self.elementwise

    def update(self, weight: Array, grad: Array) -> None:
        if self.elementwise:
            self._update_dampened(weight, grad)
            return
        velocity = self.state.get("velocity")
        settings = kernels.SGDSettings(self.momentum, self.nesterov, self.weight_decay)
        kernels.sgd_step(weight, grad, velocity, self.lr, settings, self.flat.scaler)

    def stacked_update(self) -> StackedUpdate | None:
        if self.elementwise:
            return None
        settings = "velocity" in self.state, self.momentum, self.nesterov, self.weight_decay
        return StackedUpdate(kernels.sgd_step_each, ("velocity",), settings)

    def _update_dampened(self, weight: Array, grad: Array) -> None:
        velocity = self.state["velocity"]
        velocity *= self.momentum
        velocity += self.coefficient(1 - self.dampening * (self.step_number > 1)) * self.decayed(weight, grad)
        weight -= self.lr * velocity
