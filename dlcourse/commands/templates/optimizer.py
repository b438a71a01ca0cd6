"""An optimizer of one's own.

    dlcourse check FILE                     every property below, with numbers
    dlcourse run spirals.yaml --plugin FILE optimizer='{name: my_optimizer, lr: 0.1}'

(`dlcourse init spirals` copies that config. In a config of yours, `plugins: [FILE]` and --allow-code do the same.)

The contract: update(weight, grad) changes weight in place; both are one flat array of all parameters, NumPy's or
CuPy's, and grad is only read. self.lr is the rate of this step, which a schedule may set; self.steps counts from 1.
What lasts from step to step is named in state=(...) and then is self.state[name], an array as long as weight, zeros at
first: so checkpoints hold it, and a run that is resumed goes on as if it had not stopped. A gradient of 0 divides by
nothing.
"""

from collections.abc import Iterable
from typing import Any

from dlcourse import nn
from dlcourse.optim import Optimizer
from dlcourse.registry import register
from dlcourse.types import NonNegative, Probability


@register("optimizer", "my_optimizer")
class MyOptimizer(Optimizer):
    """v <- momentum v + g;  w <- w - lr v: gradient descent with momentum.

    Args:
        params: the parameters to change.
        lr: learning rate.
        momentum: share of the velocity that stays.
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: NonNegative = 0.05, momentum: Probability = 0.9):
        super().__init__(params, lr, state=("velocity",))
        self.momentum = momentum

    def update(self, weight: Any, grad: Any) -> None:
        velocity = self.state["velocity"]
        velocity *= self.momentum
        velocity += grad
        weight -= self.lr * velocity
