"""The base of optimizers that evaluate the cost at several places in one step."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from dlcourse import backend
from dlcourse.autograd import Parameter
from dlcourse.backend.device import Array
from dlcourse.errors import ArgumentTypeError
from dlcourse.optim.base import Optimizer
from dlcourse.optim.line_search import Point
from dlcourse.optim.require import require

__all__: list[str] = []


class ClosureOptimizer(Optimizer):
    """Base of the optimizers whose :meth:`step` needs a closure, as ``torch.optim.LBFGS``.

    The closure clears the gradients, computes the cost, goes backward and returns the cost. It is for full batches: the
    cost has to be the same function in the whole step. In a config take ``train.batch_size: full``. A step looks at
    values, so that a GPU runs it operation by operation, and nothing is captured. 16 bits are refused.
    """

    needs_closure = True

    def __init__(self, params: Iterable[Parameter], lr: float, state: Iterable[str] | Mapping[str, float] = ()):
        super().__init__(params, lr, state)
        self.numbers["evaluations"] = 0  # of the closure, over all steps
        name = type(self).__name__
        require(self.members == [self], f"{name} has to have one parameter group: it takes one step of all together")
        require(self.flat.half is None, f"{name} has to have float32 or float64: 16 bits are too coarse for its search")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step.

        Args:
            closure: clears the gradients, computes the cost, goes backward and returns the cost.
        Returns:
            What the closure gave first: the cost before the step.
        Raises:
            TypeError: there is no closure.
            RuntimeError: parameters were moved to another device or type after this one was made.
        """
        if closure is None:
            raise ArgumentTypeError(
                f"{type(self).__name__}.step needs a closure: a function that clears the gradients, computes the loss, "
                "calls backward and returns the loss"
            )
        self.flat.hold()
        self._closure = closure
        try:
            loss = self._evaluated(closure)
            self.numbers["evaluations"] += 1
            self.steps += 1
            self.search(float(loss.item() if hasattr(loss, "item") else loss), self.gradient())
        finally:
            del self._closure
        self.flat.refresh_half_weights()
        self.flat.mark_changed("an optimizer's step")
        return loss

    def search(self, cost: float, grad: Array) -> None:
        """Move the weights, from which the closure gave this cost and gradient."""
        raise NotImplementedError

    def gradient(self) -> Array:
        """The gradient as it is now, a copy; 0 for what is frozen or has none."""
        grad = self.flat.gather_grad().copy()
        for index in self.flat.unmoved():
            grad[self.flat.slice_of(index)] = 0
        return -grad if self.maximize else grad

    def cost_at(self, weight: Array) -> tuple[float, Array]:
        """The closure's cost and gradient with other weights, which stay."""
        self.flat.data[...] = weight
        self.flat.refresh_half_weights()
        self.flat.mark_changed("an optimizer's step")
        loss = self._evaluated(self._closure)
        self.numbers["evaluations"] += 1
        return float(loss.item() if hasattr(loss, "item") else loss), self.gradient()

    def along(self, weight: Array, direction: Array) -> Callable[[float], Point]:
        """The cost along a line from these weights."""

        def at(t: float) -> Point:
            cost, grad = self.cost_at(weight + t * direction)
            return Point(t, cost, grad, dot(grad, direction))

        return at

    def hessian_times(self, weight: Array, vector: Array) -> Array:
        """H v at these weights, by central differences of the gradient: (g(w + h v) - g(w - h v)) / 2h.

        The graph does not go backward twice. With h = eps^(1/3) (1 + |w|) / |v| the error is about eps^(2/3) of the
        gradient's size: 4e-11 in float64, 2e-5 in float32.
        """
        size = dot(vector, vector) ** 0.5
        if not size:
            return 0 * vector
        eps = float(backend.array_module(weight).finfo(weight.dtype).eps)
        h = eps ** (1 / 3) * (1 + dot(weight, weight) ** 0.5) / size
        ahead, behind = (self.cost_at(weight + sign * h * vector)[1] for sign in (1, -1))
        return (ahead - behind) / (2 * h)


def dot(one: Array, other: Array) -> float:
    """The product of two arrays as the host's number, which waits for the device."""
    return float(one @ other)
