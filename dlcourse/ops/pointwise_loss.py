"""Losses of each output and its target by themselves: what all of them have in common.

Each is one formula l(x, t) with its derivatives; what comes of the losses of all elements, ``Pointwise`` does: their
mean, their sum, or all of them. ``distance_loss.py`` has those of regression, ``likelihood_loss.py`` those of
probabilities and counts.
"""

import math
from typing import Any

from dlcourse.autograd import Function, Tensor, apply
from dlcourse.autograd.function import xp_of
from dlcourse.backend.device import Array
from dlcourse.errors import ShapeError
from dlcourse.ops.reduction import Reduction, check_reduction
from dlcourse.ops.targets import of_one_shape, weight_of

__all__: list[str] = []


class Pointwise(Function):
    """L = a sum_i w_i l(x_i, t_i), over n for the mean, or every a w_i l(x_i, t_i); dx_i = a w_i l'(x_i, t_i), over n.

    The mean of nothing is NaN, as PyTorch has it. A subclass has :meth:`losses` and :meth:`slopes`.

    Args:
        reduction: "mean", "sum" or "none".
        weight: w, of a shape that broadcasts to that of x.
        factor: a.
    """

    refuses_whole = True
    compute_in_float32 = True
    is_loss = True

    def __init__(self, reduction: str = "mean", weight: Array | None = None, factor: float = 1.0):
        self.reduction, self.weight, self.factor = reduction, weight, factor

    def losses(self, *inputs: Array) -> Array:
        """l, an array of the inputs' shape."""
        raise NotImplementedError

    def slopes(self, *inputs: Array) -> tuple:
        """The derivatives of l in each input; None for one that :attr:`needs_input_grad` does not ask for."""
        raise NotImplementedError

    def total(self, *inputs: Array) -> Any:
        """The sum of all w l."""
        losses = self.losses(*inputs)
        return (losses if self.weight is None else losses * self.weight).sum()

    def forward(self, *inputs: Array) -> Array:
        self.inputs, size = inputs, inputs[0].size
        self.scale = self.factor if self.reduction != "mean" else self.factor / size if size else math.nan
        if self.reduction == "none":
            losses = self.losses(*inputs)
            factor = self.scale if self.weight is None else self.scale * self.weight
            return losses * factor
        return xp_of(inputs[0]).asarray(self.scale * self.total(*inputs), dtype=inputs[0].dtype)

    def backward(self, dout: Array | None) -> tuple:
        scale: Any = self.scale if dout is None else self.scale * dout
        if self.weight is not None:
            scale = scale * self.weight
        return tuple(None if slope is None else slope * scale for slope in self.slopes(*self.inputs))


def opposite(function: Function, dx: Array) -> tuple:
    """The gradients of a function of the difference of its first two inputs."""
    return dx, -dx if function.needs_input_grad[1] else None


def weight_of_each(name: str, outputs: Tensor, weight: Any) -> Array | None:
    """A factor for each loss, in the outputs' type; None where all count alike.

    Raises:
        ShapeError: it has not the outputs' shape.
    """
    array = weight_of(name, outputs, weight)
    if array is not None and array.shape != outputs.shape:
        raise ShapeError(f"{name}: weight has the outputs' shape {outputs.shape}, got {array.shape}")
    return array


def weighted(
    name: str,
    loss: type[Pointwise],
    outputs: Any,
    targets: Any,
    reduction: Reduction,
    weight: Any,
    factor: float = 1.0,
) -> Tensor:
    """A loss of outputs and targets of one shape, whose mean with weights is over these.

    Raises:
        ShapeError: the shapes differ.
        ArgumentError: ``reduction`` is none of the three.
    """
    check_reduction(name, reduction)
    outputs, targets = of_one_shape(name, outputs, targets)
    factors = weight_of_each(name, outputs, weight)
    if factors is None or reduction != "mean":
        return apply(loss(reduction, factors, factor), outputs, targets)
    return apply(loss("sum", factors, factor), outputs, targets) / Tensor(factors.sum())
