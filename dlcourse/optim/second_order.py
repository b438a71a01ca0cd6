"""Newton's method and conjugate gradients, by products with the Hessian."""

from collections.abc import Callable, Iterable
from typing import Literal

from dlcourse.autograd import Parameter
from dlcourse.backend.device import Array
from dlcourse.optim.closures import ClosureOptimizer, dot
from dlcourse.optim.line_search import Point, strong_wolfe
from dlcourse.optim.require import require, require_non_negative
from dlcourse.registry import register
from dlcourse.types import Count, NonNegative

__all__ = ["ConjugateGradient", "Newton", "solve_by_cg"]

HALVINGS = 30
"""Of a Newton step that does not lower the cost enough."""
ENOUGH_DECREASE = 1e-4


def solve_by_cg(
    product: Callable[[Array], Array], b: Array, tolerance: float = 1e-10, max_iter: int | None = None
) -> Array:
    """x with A x = b by linear conjugate gradients (Hestenes & Stiefel 1952), A symmetric and positive definite.

    r = b - A x, d = r at first;  a = r.r / d.Ad;  x <- x + a d;  r' = r - a A d;  d <- r' + (r'.r' / r.r) d

    In exact arithmetic it ends after as many products as A has distinct eigenvalues. Where d.Ad is not above 0 it stops
    (Steihaug 1983): x so far, or b at once, still points down a hill of which b is the steepest way.

    Args:
        product: gives A v.
        b: (n,)
        tolerance: the length of r, as a share of b's, that is small enough.
        max_iter: the most products; by default n.
    Example:
        >>> a = np.array([[4.0, 1.0], [1.0, 3.0]])
        >>> optim.solve_by_cg(lambda v: a @ v, np.array([1.0, 2.0])).round(4).tolist()
        [0.0909, 0.6364]
    """
    x, r, d = 0 * b, b.copy(), b.copy()
    square = dot(r, r)
    enough = tolerance**2 * square
    for i in range(len(b) if max_iter is None else max_iter):
        if square <= enough:
            break
        image = product(d)
        curvature = dot(d, image)
        if not curvature > 0:
            return d if i == 0 else x
        x += (square / curvature) * d
        r -= (square / curvature) * image
        before, square = square, dot(r, r)
        d = r + (square / before) * d
    return x


@register("optimizer", "newton")
class Newton(ClosureOptimizer):
    """Newton's method, the system solved by conjugate gradients; for full batches, ``train.batch_size: full``.

    (H + damping I) d = -g by :func:`solve_by_cg`;  w <- w + t d, t = lr, halved until the cost falls by 1e-4 of what
    the slope promises (truncated Newton, Nocedal & Wright 2006, algorithm 7.1; for nets Martens 2010).

    Products with H are central differences of the gradient, see ``hessian_times``: each costs two evaluations of the
    closure. float64 is advised. A step looks at values, so a GPU captures nothing; 16 bits are refused. PyTorch has no
    such optimizer.

    Args:
        params: the parameters to change.
        lr: the step that is tried first; 1 is Newton's.
        damping: added to the Hessian's diagonal; a large one gives short steps down the gradient.
        max_iter: the most products with the Hessian in a step; by default as many as parameters.
        tolerance: how well the system is solved, as a share of the gradient's length.
    Raises:
        ValueError: an argument is out of its range, there are several groups, or the parameters have 16 bits.
    """

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: NonNegative = 1.0,
        damping: NonNegative = 0.0,
        max_iter: Count | None = 50,
        tolerance: NonNegative = 1e-4,
    ):
        require_non_negative(damping=damping, tolerance=tolerance)
        require(max_iter is None or max_iter >= 1, f"max_iter has to be at least 1, got {max_iter}")
        super().__init__(params, lr)
        self.damping, self.max_iter, self.tolerance = damping, max_iter, tolerance

    def search(self, cost: float, grad: Array) -> None:
        weight = self.flat.data.copy()

        def product(vector: Array) -> Array:
            return self.hessian_times(weight, vector) + self.damping * vector

        direction = solve_by_cg(product, -grad, self.tolerance, self.max_iter)
        slope, t = dot(grad, direction), self.lr
        for _ in range(HALVINGS):
            found, _ = self.cost_at(weight + t * direction)
            if found <= cost + ENOUGH_DECREASE * t * slope:
                return
            t /= 2
        self.flat.data[...] = weight  # rounding alone is left


BETAS: dict[str, Callable[[Array, Array, Array], float]] = {
    "fletcher_reeves": lambda g, before, d: dot(g, g) / dot(before, before),
    "polak_ribiere": lambda g, before, d: max(dot(g, g - before) / dot(before, before), 0.0),
    "hestenes_stiefel": lambda g, before, d: max(dot(g, g - before) / (dot(d, g - before) or 1.0), 0.0),
}
"""How much of the last direction stays, by the gradient, the one before, and that direction."""


@register("optimizer", "conjugate_gradient")
class ConjugateGradient(ClosureOptimizer):
    """Conjugate gradients, linear and nonlinear; for full batches, ``train.batch_size: full``.

    d <- -g + beta d;  w <- w + t d, where beta is Fletcher & Reeves' (1964) g.g / g'.g', Polak & Ribiere's (1969)
    g.(g - g') / g'.g', or Hestenes & Stiefel's (1952) g.(g - g') / d.(g - g'); g' is the gradient before. The last two
    are not below 0. It begins anew with d = -g after ``restart`` steps, and where d does not point down.

    t is found by a line search for the strong Wolfe conditions, or with ``step_by: curvature`` from a product with the
    Hessian, t = -g.d / d.Hd: on a quadratic cost these are the linear conjugate gradients, which end after as many
    steps as there are parameters. The product is a central difference of the gradient, see ``hessian_times``.

    A step looks at values, so a GPU captures nothing; 16 bits are refused. PyTorch has no such optimizer.

    Args:
        params: the parameters to change.
        lr: the t that the line search tries first in the first step, over the gradient's length.
        beta: whose formula.
        step_by: wolfe or curvature.
        restart: steps after which it begins anew; by default as many as parameters.
    Raises:
        ValueError: an argument is out of its range, there are several groups, or the parameters have 16 bits.
    """

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: NonNegative = 1.0,
        beta: Literal["fletcher_reeves", "polak_ribiere", "hestenes_stiefel"] = "polak_ribiere",
        step_by: Literal["wolfe", "curvature"] = "wolfe",
        restart: Count | None = None,
    ):
        require(beta in BETAS, f"beta has to be one of {', '.join(BETAS)}, got {beta!r}")
        require(step_by in ("wolfe", "curvature"), f"step_by has to be wolfe or curvature, got {step_by!r}")
        require(restart is None or restart >= 1, f"restart has to be at least 1, got {restart}")
        super().__init__(params, lr, state=("direction", "previous_grad"))
        self.beta, self.step_by, self.restart = beta, step_by, restart
        self.numbers |= {"since": 0, "t": 0.0, "slope": 0.0}

    def search(self, cost: float, grad: Array) -> None:
        numbers, weight = self.numbers, self.flat.data.copy()
        direction, before = self.state["direction"], self.state["previous_grad"]
        if not dot(grad, grad):
            return
        fresh = numbers["since"] % (self.restart or len(self.flat)) == 0
        new = -grad if fresh else BETAS[self.beta](grad, before, direction) * direction - grad
        if not dot(grad, new) < 0:
            new, numbers["since"] = -grad, 0
        start = Point(0.0, cost, grad, dot(grad, new))
        t = self._length(weight, new, start)
        direction[...], before[...] = new, grad
        numbers["since"], numbers["t"], numbers["slope"] = numbers["since"] + 1, t, start.slope
        self.flat.data[...] = weight + t * new

    def _length(self, weight: Array, direction: Array, start: Point) -> float:
        if self.step_by == "curvature":
            curvature = dot(direction, self.hessian_times(weight, direction))
            if curvature > 0:
                return -start.slope / curvature
        # As long as the last step in what the slope promised.
        guess = self.numbers["t"] * self.numbers["slope"] / start.slope if self.numbers["t"] else 0.0
        guess = guess or self.lr / dot(direction, direction) ** 0.5
        size = float(abs(direction).max())
        found, _ = strong_wolfe(self.along(weight, direction), start, guess, size, flatter=0.1)
        return found.t
