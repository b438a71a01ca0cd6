"""Normalization of rows or columns of a matrix, with the gradients written out.

With xhat = (x - mean) / sqrt(var + eps), y = w xhat + b, g = dy w, and means taken over what was normalized together,
dx = (g - mean(g) - xhat mean(g xhat)) / sqrt(var + eps).
"""

import math
from typing import NamedTuple

import numpy as np

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import kernel
from dlcourse.backend.kernels.grad_buffers import copy_into
from dlcourse.backend.kernels.select import selected


class RunningStats(NamedTuple):
    """Averages (C,) that move in place towards the statistics of each batch.

    Attributes:
        momentum: the batch's share.
        correction: what makes of the batch's variance (1/M) the one to follow, M / (M - 1) for the unbiased one.
    """

    mean: Array
    var: Array
    momentum: float
    correction: float

    def update(self, mean: Array, inverse: Array, eps: float) -> None:
        """Move by a batch's mean and 1 / sqrt(var + eps), as :func:`batch_norm` gives them."""
        for running, value in ((self.mean, mean), (self.var, (1 / (inverse * inverse) - eps) * self.correction)):
            running *= 1 - self.momentum
            running += self.momentum * value


class BatchNormSaved(NamedTuple):
    """What :func:`batch_norm_grad` needs of the forward pass.

    Attributes:
        bits: where a ReLU let y through, see :func:`pack`; None without one, or where ``y`` says it.
        y: the result, where a residual was added before the ReLU, else None.
    """

    x: Array
    weight: Array
    mean: Array
    inverse: Array
    bits: Array | None = None
    y: Array | None = None


@kernel(writes=("running",), float32_outputs=(1, 2))
def batch_norm(
    x: Array, weight: Array, bias: Array, residual: Array | None, eps: float, running: RunningStats | None, relu: bool
) -> tuple[Array, Array, Array, Array | None]:
    """Normalize each column of x (M, C) by its own mean and variance (1/M), and go on in the same pass.

    Mean and variance are summed up in float64: in float32 sums of a hundred thousand terms are right to three digits.
    The running averages, where there are any, follow.

    Args:
        residual: added to the result, (M, C), before a ReLU, which then has to be there.
        relu: y = max(result, 0).
    Returns:
        y, mean (C,), 1 / sqrt(var + eps) (C,), and with ``relu`` but no residual where y > 0, see :func:`pack`.
    """
    xp = array_module(x)
    mean = x.mean(axis=0, dtype=np.float64).astype(x.dtype)
    inverse = (1 / xp.sqrt(x.var(axis=0, dtype=np.float64) + eps)).astype(x.dtype)
    if running is not None:
        running.update(mean, inverse, eps)
    y = (x - mean) * (inverse * weight) + bias
    y = y if residual is None else y + residual
    y = xp.maximum(y, 0) if relu else y
    return y, mean, inverse, pack(y > 0) if relu and residual is None else None


@kernel(writes=("grad_buffers",))
def batch_norm_grad(
    dout: Array, more: Array | None, saved: BatchNormSaved, grad_buffers: tuple
) -> tuple[Array, Array, Array, Array | None]:
    """dx (M, C), dw (C,), db (C,) of dz: dy where a ReLU let y through; and, with ``saved.y``, dz, the residual's.

    Args:
        more: the rest of dy, still to be added, where y was used twice.
        grad_buffers: where dw and db go, if these are arrays and not None.
    """
    x, weight, mean, inverse, bits, y = saved
    dz = dout if more is None else dout + more
    if y is not None:
        dz = selected.reference(dz, y > 0)
    elif bits is not None:
        dz = selected.reference(dz, unpack(bits, dout.shape) != 0)
    xhat = (x - mean) * inverse
    dbias = dz.sum(axis=0, dtype=np.float64).astype(x.dtype)
    dweight = (dz * xhat).sum(axis=0, dtype=np.float64).astype(x.dtype)
    dx = (inverse * weight) * (dz - dbias / len(x) - xhat * (dweight / len(x)))
    return dx, copy_into(dweight, grad_buffers[0]), copy_into(dbias, grad_buffers[1]), None if y is None else dz


def pack(positive: Array) -> Array:
    """Booleans as bits, eight to a byte in the order of the elements, the first the lowest: a 32nd of y's memory."""
    return array_module(positive).packbits(positive.reshape(-1), bitorder="little")


def unpack(bits: Array, shape: tuple[int, ...]) -> Array:
    """The booleans (0 or 1, uint8) that :func:`pack` packed."""
    return array_module(bits).unpackbits(bits, bitorder="little")[: math.prod(shape)].reshape(shape)


@kernel(float32_outputs=(1, 2))
def layer_norm(x: Array, weight: Array, bias: Array, eps: float) -> tuple[Array, Array, Array]:
    """Normalize each row of x (M, D) by its own mean and variance (1/D): y, mean (M, 1), 1 / sqrt(var + eps) (M, 1)."""
    xp = array_module(x)
    mean = x.mean(axis=1, keepdims=True)
    inverse = 1 / xp.sqrt(x.var(axis=1, keepdims=True) + eps)
    return (x - mean) * inverse * weight + bias, mean, inverse


@kernel(writes=("grad_buffers",))
def layer_norm_grad(
    dout: Array, more: Array | None, x: Array, weight: Array, mean: Array, inverse: Array, grad_buffers: tuple
) -> tuple[Array, Array, Array]:
    """dx (M, D), dw (D,), db (D,); the last two into ``grad_buffers`` where that holds arrays and not None.

    Args:
        more: added to dx, if given: what x's other uses gave.
    """
    xhat = (x - mean) * inverse
    g = dout * weight
    dx = inverse * (g - g.mean(axis=1, keepdims=True) - xhat * (g * xhat).mean(axis=1, keepdims=True))
    dx = dx if more is None else dx + more
    return dx, copy_into((dout * xhat).sum(axis=0), grad_buffers[0]), copy_into(dout.sum(axis=0), grad_buffers[1])
