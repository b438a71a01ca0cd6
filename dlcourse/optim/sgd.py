"""Stochastic gradient descent, with momentum and Nesterov's."""

from collections.abc import Iterable

from dlcourse.autograd import Parameter
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import optim as kernels
from dlcourse.optim.base import Optimizer, require, require_non_negative
from dlcourse.registry import register
from dlcourse.types import NonNegative

__all__ = ["SGD"]


@register("optimizer", "sgd")
class SGD(Optimizer):
    """g = dL/dw + weight_decay w;  v <- momentum v + g;  w <- w - lr v, or with Nesterov  w <- w - lr (g + momentum v).

    PyTorch's form (``torch.optim.SGD`` without dampening): the learning rate multiplies the velocity. Sutskever et al.
    2013 put it inside the velocity, which differs where the learning rate changes.

    Args:
        params: the parameters to change.
        lr: learning rate.
        momentum: share of the velocity that stays; 0 keeps no velocity.
        nesterov: look ahead by the momentum (Nesterov 1983); needs momentum.
        weight_decay: coefficient of the penalty weight_decay / 2 |w|^2.
    Raises:
        ValueError: an argument is negative, or ``nesterov`` comes without momentum.
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
    ):
        require_non_negative(momentum=momentum, weight_decay=weight_decay)
        require(not nesterov or momentum > 0, "nesterov needs a momentum above 0")
        super().__init__(params, lr, state=("velocity",) if momentum else ())
        self.momentum, self.nesterov, self.weight_decay = momentum, nesterov, weight_decay

    def update(self, weight: Array, grad: Array) -> None:
        velocity = self.state.get("velocity")
        settings = kernels.SGDSettings(self.momentum, self.nesterov, self.weight_decay)
        kernels.sgd_step(weight, grad, velocity, self.lr, settings, self.flat.scaler)
