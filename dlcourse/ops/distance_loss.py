"""Losses of the distance between outputs and targets, element by element: squared, absolute, and what lies between."""

from typing import Any

from dlcourse.autograd import Tensor, apply
from dlcourse.autograd.function import xp_of
from dlcourse.autograd.replicas import ReplicaArray, Rule
from dlcourse.backend.device import Array
from dlcourse.backend.kernels.replicas import summed_products
from dlcourse.backend.kernels.sums import sum_of_squares
from dlcourse.errors import ArgumentError
from dlcourse.ops.pointwise_loss import Pointwise, opposite, weight_of_each, weighted
from dlcourse.ops.reduction import Reduction, check_reduction
from dlcourse.ops.targets import adds_up_by, of_one_shape

__all__ = [
    "half_sse",
    "huber_loss",
    "l1_loss",
    "mse_loss",
    "smooth_l1_loss",
]


class SquaredErrorRule(Rule):
    """:class:`SquaredError` of replicas, the mean or the sum of each."""

    def forward(self, *inputs: Any) -> Array:
        loss = self.function
        if loss.reduction == "none" or loss.weight is not None or not inputs[0].size:
            return NotImplemented
        x, t = (each.values if isinstance(each, ReplicaArray) else each for each in inputs)
        self.difference = (x - t).reshape(len(x if isinstance(inputs[0], ReplicaArray) else t), -1)
        self.scale = loss.factor / inputs[0].size if loss.reduction == "mean" else loss.factor
        self.shape = (len(self.difference), *inputs[0].shape)
        total = summed_products(self.difference[:, None], self.difference[:, None], 2)[:, 0]
        return (0.5 * self.scale * total).astype(self.difference.dtype)

    def backward(self, dout: Array | None) -> tuple:
        dx = self.difference * (self.scale if dout is None else self.scale * dout[:, None])
        dx = dx.reshape(self.shape)
        return tuple((dx, -dx)[i] if need else None for i, need in enumerate(self.needs_input_grad))


class SquaredError(Pointwise):
    """l = (x - t)^2 / 2; dx = x - t, dt = -dx; twice that is the squared error. (Lecture 2.)"""

    replica_rule = SquaredErrorRule

    def losses(self, x: Array, t: Array) -> Array:
        self.difference = x - t
        return 0.5 * self.difference * self.difference

    def total(self, x: Array, t: Array) -> Any:
        if self.weight is not None:
            return super().total(x, t)
        self.difference = x - t
        return 0.5 * sum_of_squares(self.difference)

    def slopes(self, x: Array, t: Array) -> tuple:
        return opposite(self, self.difference)


class AbsoluteError(Pointwise):
    """l = |x - t|; dx = sign(x - t), dt = -dx. The likelihood of Laplace's distribution; its minimum is the median."""

    def losses(self, x: Array, t: Array) -> Array:
        self.difference = x - t
        return xp_of(x).abs(self.difference)

    def slopes(self, x: Array, t: Array) -> tuple:
        return opposite(self, xp_of(x).sign(self.difference))


class Huber(Pointwise):
    """l = c (d - c/2) with d = x - t, and c = d cut to -delta..delta: d^2/2 near 0, delta (|d| - delta/2) beyond;
    dx = c, dt = -dx. (Huber 1964; over delta: Girshick 2015.)"""

    def __init__(self, delta: float, reduction: str, weight: Array | None = None, factor: float = 1.0):
        super().__init__(reduction, weight, factor)
        self.delta = delta

    def losses(self, x: Array, t: Array) -> Array:
        difference = x - t
        self.cut = xp_of(x).clip(difference, -self.delta, self.delta)
        difference -= 0.5 * self.cut
        difference *= self.cut
        return difference

    def slopes(self, x: Array, t: Array) -> tuple:
        return opposite(self, self.cut)


@adds_up_by("mean")
def l1_loss(outputs: Tensor, targets: Any, *, reduction: Reduction = "mean", weight: Any = None) -> Tensor:
    """The mean over all elements of |outputs - targets|, their sum, or all of them ("none").

    Both are of one shape (a mismatch never broadcasts). ``weight``, of that shape too, is a factor for each; the mean
    is then over the weights. A tensor that needs a gradient gets it as target too.

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: ``reduction`` is none of the three.
    """
    return weighted("l1_loss", AbsoluteError, outputs, targets, reduction, weight)


@adds_up_by("mean")
def mse_loss(outputs: Tensor, targets: Any, *, reduction: Reduction = "mean", weight: Any = None) -> Tensor:
    """The mean over all elements of (outputs - targets)^2, their sum, or all of them ("none").

    Both are of one shape (a mismatch never broadcasts). ``weight``, of that shape too, is a factor for each; the mean
    is then over the weights. A tensor that needs a gradient gets it as target too.

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: ``reduction`` is none of the three.
    """
    return weighted("mse_loss", SquaredError, outputs, targets, reduction, weight, factor=2.0)


@adds_up_by("sum")
def half_sse(outputs: Tensor, targets: Any) -> Tensor:
    """1/2 sum (outputs - targets)^2 over all elements, the lecture's cost; both of one shape.

    A tensor that needs a gradient gets it as target too.
    """
    return apply(SquaredError("sum"), *of_one_shape("half_sse", outputs, targets))


@adds_up_by("mean")
def smooth_l1_loss(outputs: Tensor, targets: Any, *, reduction: Reduction = "mean", beta: float = 1.0) -> Tensor:
    """Of d = outputs - targets: d^2 / (2 beta) where |d| < beta, else |d| - beta / 2; ``beta=0`` is the L1 loss.

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: ``beta`` is negative, or ``reduction`` is none of the three.
    Example:
        >>> F.smooth_l1_loss(dl.tensor([0.5, 3.0]), np.zeros(2), reduction="none").tolist()
        [0.125, 2.5]
    """
    if beta < 0:
        raise ArgumentError(f"smooth_l1_loss: beta is at least 0, got {beta}")
    if beta == 0:
        return l1_loss(outputs, targets, reduction=reduction)
    check_reduction("smooth_l1_loss", reduction)
    return apply(Huber(beta, reduction, factor=1 / beta), *of_one_shape("smooth_l1_loss", outputs, targets))


@adds_up_by("mean")
def huber_loss(
    outputs: Tensor, targets: Any, reduction: Reduction = "mean", delta: float = 1.0, weight: Any = None
) -> Tensor:
    """Of d = outputs - targets: d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2): an outlier counts linearly.

    ``weight``, of the outputs' shape, is a factor for each; the mean is over the elements all the same, as in PyTorch.

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: ``delta`` is not above 0, or ``reduction`` is none of the three.
    """
    check_reduction("huber_loss", reduction)
    if delta <= 0:
        raise ArgumentError(f"huber_loss: delta is above 0, got {delta}")
    outputs, targets = of_one_shape("huber_loss", outputs, targets)
    return apply(Huber(delta, reduction, weight_of_each("huber_loss", outputs, weight)), outputs, targets)
