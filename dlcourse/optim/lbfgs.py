"""L-BFGS: a quasi-Newton method with limited memory."""

from collections.abc import Iterable
from typing import Literal

from dlcourse import backend
from dlcourse.autograd import Parameter
from dlcourse.backend.device import Array
from dlcourse.optim.closures import ClosureOptimizer, dot
from dlcourse.optim.line_search import Point, strong_wolfe
from dlcourse.optim.require import require, require_non_negative
from dlcourse.registry import register
from dlcourse.types import Count, NonNegative

__all__ = ["LBFGS"]


@register("optimizer", "lbfgs")
class LBFGS(ClosureOptimizer):
    """L-BFGS (Liu & Nocedal 1989), equal to ``torch.optim.LBFGS``; for full batches, ``train.batch_size: full``.

    d = -H g, H the inverse Hessian as the last ``history_size`` changes s of the weights and y of the gradient tell it
    (two loops, Nocedal & Wright 2006, algorithm 7.4);  w <- w + t d, where t is lr or comes from a line search. A step
    takes up to ``max_iter`` such moves. It looks at values, so a GPU captures nothing; 16 bits are refused.

    Args:
        params: the parameters to change.
        lr: t, or with a line search the t that it tries first.
        max_iter: moves in a step.
        max_eval: evaluations in a step, by default 5/4 of that.
        tolerance_grad: no element of the gradient is larger: nothing is left to do.
        tolerance_change: a move or a change of the cost that is smaller ends the step.
        history_size: changes that are remembered, each twice the parameters' memory.
        line_search_fn: strong_wolfe, or none.
    Raises:
        ValueError: an argument is out of its range, there are several groups, or the parameters have 16 bits.
    Example:
        >>> w = nn.Parameter(np.array([3.0, -2.0]))
        >>> optimizer = optim.LBFGS([w], line_search_fn="strong_wolfe")
        >>> def closure():
        ...     optimizer.zero_grad()
        ...     loss = (w * w * dl.tensor([1.0, 10.0])).sum()
        ...     loss.backward()
        ...     return loss
        >>> loss = optimizer.step(closure)
        >>> bool(closure().item() < 1e-12)
        True
    """

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: NonNegative = 1.0,
        max_iter: Count = 20,
        max_eval: Count | None = None,
        tolerance_grad: NonNegative = 1e-7,
        tolerance_change: NonNegative = 1e-9,
        history_size: Count = 100,
        line_search_fn: Literal["strong_wolfe"] | None = None,
    ):
        require(min(max_iter, history_size) >= 1, "max_iter and history_size have to be at least 1")
        require_non_negative(tolerance_grad=tolerance_grad, tolerance_change=tolerance_change)
        known = line_search_fn in (None, "strong_wolfe")
        require(known, f"line_search_fn has to be strong_wolfe or None, got {line_search_fn!r}")
        super().__init__(params, lr, state=("direction", "previous_grad"))
        self.max_iter, self.history_size, self.line_search_fn = max_iter, history_size, line_search_fn
        self.max_eval = max_iter * 5 // 4 if max_eval is None else max_eval
        self.tolerance_grad, self.tolerance_change = tolerance_grad, tolerance_change
        self.numbers |= {"moves": 0, "known": 0, "t": 0.0, "scale": 1.0}
        xp, length = backend.array_module(self.flat.data), len(self.flat)
        for name in ("weight_changes", "grad_changes"):  # zeros take no memory on a CPU until they are written to
            self.state[name] = xp.zeros((history_size, length), self.flat.data.dtype)

    def search(self, cost: float, grad: Array) -> None:
        numbers, evaluations = self.numbers, 1
        for move in range(1, self.max_iter + 1):
            if float(abs(grad).max()) <= self.tolerance_grad:
                return
            direction = self._direction(grad)
            self.state["direction"][...], self.state["previous_grad"][...] = direction, grad
            first = numbers["moves"] == 0
            numbers["t"] = min(1.0, 1.0 / float(abs(grad).sum())) * self.lr if first else self.lr
            numbers["moves"] += 1
            slope, before = dot(grad, direction), cost
            if slope > -self.tolerance_change:
                return
            start, left = Point(0.0, cost, grad, slope), self.max_eval - evaluations
            cost, grad, used = self._move(start, direction, left, move == self.max_iter)
            evaluations += used
            small = float(abs(direction * numbers["t"]).max()) <= self.tolerance_change
            if evaluations >= self.max_eval or small or abs(cost - before) < self.tolerance_change:
                return

    def _move(self, start: Point, direction: Array, most: int, last: bool) -> tuple[float, Array, int]:
        """Go along the direction; the cost and gradient there, and how often it evaluated."""
        weight, numbers = self.flat.data.copy(), self.numbers
        if self.line_search_fn is None:
            self.flat.data[...] = weight + numbers["t"] * direction
            if last:
                return start.cost, start.grad, 0
            return *self.cost_at(self.flat.data), 1
        size = float(abs(direction).max())
        found, used = strong_wolfe(self.along(weight, direction), start, numbers["t"], size, most=most)
        numbers["t"] = found.t
        self.flat.data[...] = weight + found.t * direction
        return found.cost, found.grad, used

    def _direction(self, grad: Array) -> Array:
        """-H g by the two loops; what the last move showed is remembered first."""
        numbers, steps, changes = self.numbers, self.state["weight_changes"], self.state["grad_changes"]
        if numbers["moves"] == 0:
            return -grad
        change, step = grad - self.state["previous_grad"], numbers["t"] * self.state["direction"]
        curvature = dot(change, step)
        if curvature > 1e-10:
            place = numbers["known"] % self.history_size
            steps[place], changes[place] = step, change
            numbers["known"] += 1
            numbers["scale"] = curvature / dot(change, change)
        first = max(numbers["known"] - self.history_size, 0)
        places = [i % self.history_size for i in range(first, numbers["known"])]
        weights = {i: 1 / dot(changes[i], steps[i]) for i in places}
        direction, shares = -grad, {}
        for i in reversed(places):
            shares[i] = dot(steps[i], direction) * weights[i]
            direction -= shares[i] * changes[i]
        direction *= numbers["scale"]
        for i in places:
            direction += steps[i] * (shares[i] - dot(changes[i], direction) * weights[i])
        return direction
