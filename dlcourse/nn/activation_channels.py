"""Activations that are no function of one number alone: gates, learned and random slopes, softmax along an axis."""

from typing import Any

import numpy as np

from dlcourse.autograd import Function, Parameter, Tensor, apply, as_tensor, axes
from dlcourse.autograd.function import unbroadcast, xp_of
from dlcourse.backend import random
from dlcourse.backend.device import Array
from dlcourse.backend.kernels.activation import sigmoid
from dlcourse.backend.kernels.select import chosen, selected
from dlcourse.errors import ArgumentError, ShapeError
from dlcourse.nn.activation import refuse_in_place
from dlcourse.nn.init import constant
from dlcourse.nn.module import Module
from dlcourse.nn.sizes import check_sizes
from dlcourse.ops.softmax import log_softmax, softmax, softmin

__all__ = ["GLU", "LogSoftmax", "PReLU", "RReLU", "Softmax", "Softmax2d", "Softmin", "glu", "prelu", "rrelu"]


class GLUFunction(Function):
    """y = a s(b) of the halves a and b of x along an axis, s the logistic function; da = dy s, db = dy a s (1 - s).

    (Dauphin et al. 2017.)
    """

    compute_in_float32 = True
    fractional = True

    def __init__(self, axis: int):
        self.axis = axis

    def forward(self, x: Array) -> Array:
        self.a, b = xp_of(x).split(x, 2, self.axis)
        self.gate = sigmoid(b)
        return self.a * self.gate

    def backward(self, dout: Array) -> Array:
        da = dout * self.gate
        return xp_of(dout).concatenate([da, da * self.a * (1 - self.gate)], axis=self.axis)


def glu(x: Tensor, dim: int = -1) -> Tensor:
    """The first half of x along an axis, times the logistic function of the second.

    Raises:
        AxisError: the axis is not there.
        ShapeError: its length is odd.
    Example:
        >>> F.glu(dl.tensor([3.0, 5.0, 0.0, 0.0])).tolist()
        [1.5, 2.5]
    """
    x = as_tensor(x)
    axis = axes.single("glu", x.shape, dim)
    if not x.ndim or x.shape[axis] % 2:
        raise ShapeError(f"glu: expected an even length along axis {dim}, got {x.shape}")
    return apply(GLUFunction(axis), x)


class GLU(Module):
    """The first half of x along an axis, times the logistic function of the second.

    Args:
        dim: the axis; the last has the channels.
    """

    def __init__(self, dim: int = -1):
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return glu(x, self.dim)


class PReLUFunction(Function):
    """y = x where x > 0, else w x; dx = dy or w dy, dw = the sum of dy x over x <= 0. (He et al. 2015.)"""

    refuses_whole = True
    compute_in_float32 = True

    def forward(self, x: Array, weight: Array) -> Array:
        self.x, self.weight = x, weight
        return chosen(x > 0, x, weight * x)

    def backward(self, dout: Array) -> tuple:
        positive = self.x > 0
        dx = chosen(positive, dout, self.weight * dout)
        if not self.needs_input_grad[1]:
            return dx, None
        return dx, unbroadcast(selected(dout * self.x, ~positive), self.weight.shape)


def prelu(x: Tensor, weight: Tensor) -> Tensor:
    """x where positive, else ``weight`` x: one weight, or one for each channel, the last axis.

    Raises:
        ShapeError: the weight is neither.
    """
    x, weight = as_tensor(x), as_tensor(weight)
    channels = x.shape[-1] if x.ndim > 1 else 1
    if weight.ndim > 1 or weight.numel() not in (1, channels):
        raise ShapeError(f"prelu: x {x.shape} needs one weight, or {channels}, got {weight.shape}")
    return apply(PReLUFunction(), x, weight.reshape(()) if weight.numel() == 1 and not x.ndim else weight)


class PReLU(Module):
    """x where positive, else a learned weight times x.

    Args:
        num_parameters: 1, or the number of channels, the last axis, for a weight of each.
        init: what the weights are at first.
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25):
        super().__init__()
        check_sizes("PReLU", num_parameters=num_parameters)
        self.num_parameters, self.init = num_parameters, init
        self.weight = Parameter(constant((num_parameters,), init))

    def forward(self, x: Tensor) -> Tensor:
        return prelu(x, self.weight)


def rrelu(
    x: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, inplace: bool = False
) -> Tensor:
    """x where positive, else r x: in training r is uniform in lower..upper, anew for each element, else their mean.

    (Xu et al. 2015.)

    Raises:
        ArgumentError: ``lower`` is above ``upper``.
    """
    refuse_in_place("rrelu", inplace)
    if lower > upper:
        raise ArgumentError(f"rrelu: lower is at most upper, got {lower} and {upper}")
    x = as_tensor(x)
    slope: Any = np.float64((lower + upper) / 2)
    if training:
        slope = lower + (upper - lower) * random.uniform(x.shape, "rrelu").astype(x.dtype)
    slopes = Tensor(xp_of(x.data).asarray(slope, dtype=x.dtype))
    return apply(PReLUFunction(), x, slopes)


class RReLU(Module):
    """x where positive, else r x: in training r is random, in evaluation the mean.

    Args:
        lower, upper: between which r is uniform.
    """

    def __init__(self, lower: float = 1 / 8, upper: float = 1 / 3):
        super().__init__()
        if lower > upper:
            raise ArgumentError(f"RReLU: lower is at most upper, got {lower} and {upper}")
        self.lower, self.upper = lower, upper

    def forward(self, x: Tensor) -> Tensor:
        return rrelu(x, self.lower, self.upper, self.training)


class _AlongAxis(Module):
    """A function along one axis.

    Args:
        axis: the last one, the classes, if left out; or ``dim``.
    """

    def __init__(self, axis: int = -1, *, dim: int | None = None):
        super().__init__()
        self.axis = axis if dim is None else dim


class Softmax(_AlongAxis):
    """e^x / sum e^x along ``axis`` (``dim``). Losses take logits: put no Softmax before a cross-entropy."""

    def forward(self, x: Tensor) -> Tensor:
        return softmax(x, self.axis)


class LogSoftmax(_AlongAxis):
    """log(e^x / sum e^x) along ``axis`` (``dim``): what NLLLoss takes."""

    def forward(self, x: Tensor) -> Tensor:
        return log_softmax(x, self.axis)


class Softmin(_AlongAxis):
    """e^-x / sum e^-x along ``axis`` (``dim``)."""

    def forward(self, x: Tensor) -> Tensor:
        return softmin(x, self.axis)


class Softmax2d(Module):
    """The softmax over the channels, the last axis, of images (N, H, W, C) or (H, W, C)."""

    def forward(self, x: Tensor) -> Tensor:
        x = as_tensor(x)
        if x.ndim not in (3, 4):
            raise ShapeError(f"Softmax2d: expected images (N, H, W, C) or (H, W, C), got {x.shape}")
        return softmax(x, -1)
