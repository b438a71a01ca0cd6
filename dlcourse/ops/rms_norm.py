"""Normalization without means: by the root mean square, and by neighboring channels."""

import numpy as np

from dlcourse.autograd import Function, Tensor, apply, as_tensor
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import rms_norm as kernels
from dlcourse.errors import ShapeError
from dlcourse.ops.conv import sizes
from dlcourse.ops.norm import affine, last_axes
from dlcourse.ops.pad import pad
from dlcourse.ops.pool import avg_pool1d

__all__ = ["local_response_norm", "rms_norm"]


class RMSNorm(Function):
    """y = w x / sqrt(mean(x^2) + eps), the mean (1/D) over the last axis of each sample.

    With r = 1 / sqrt(mean(x^2) + eps), xhat = r x and g = dy w: dx = r (g - xhat mean(g xhat)), dw = sum dy xhat.
    Shapes: x (..., D), w (D,). (Zhang & Sennrich 2019.)
    """

    refuses_whole = True

    def __init__(self, eps: float):
        self.eps = eps

    def forward(self, x: Array, weight: Array) -> Array:
        self.x, self.weight = x.reshape(-1, x.shape[-1]), weight
        y, self.inverse = kernels.rms_norm(self.x, weight, self.eps)
        return y.reshape(x.shape)

    def backward(self, dout: Array) -> tuple:
        known = self.x, self.weight, self.inverse, self.grad_buffers[1]
        dx, dweight = kernels.rms_norm_grad(dout.reshape(self.x.shape), *known)
        return dx.reshape(dout.shape), dweight


def rms_norm(
    x: Tensor, normalized_shape: int | tuple[int, ...], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """Divide the last axes of each sample by their root mean square; as ``torch.nn.functional.rms_norm``.

    Args:
        x: (..., *normalized_shape).
        normalized_shape: the lengths of the last axes, one number for the last one.
        weight: of that shape; ones if left out.
        eps: added to the mean of the squares; the rounding step of the type computed in (float32 for 16 bits) if left
            out.
    Raises:
        ShapeError: the shapes do not fit.
    """
    x = as_tensor(x)
    shape = last_axes("rms_norm", x, normalized_shape)
    weight, _ = affine(x, shape, weight, None)
    if x.shape[-len(shape) :] != shape or weight.shape != shape:
        raise ShapeError(
            f"rms_norm: expected x (..., {', '.join(map(str, shape))}) and weight {shape}, "
            f"got {x.shape}, {weight.shape}"
        )
    if eps is None:
        eps = float(np.finfo(np.float64 if x.dtype == np.float64 else np.float32).eps)
    rows = x if len(shape) == 1 else x.reshape(*x.shape[: -len(shape)], -1)
    return apply(RMSNorm(eps), rows, weight if len(shape) == 1 else weight.reshape(-1)).reshape(x.shape)


def local_response_norm(x: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """Divide by what neighboring channels have at the same place; as ``torch.nn.functional.local_response_norm``,
    channels last.

    y_c = x_c / (k + alpha / size sum_j x_j^2)^beta over the ``size`` channels j around c, from c - size // 2 on; beyond
    the first and the last channel x is 0. The gradient is that of these operations. (Krizhevsky et al. 2012.)

    Args:
        x: (N, ..., C), of three axes at least.
        size: how many channels.
        alpha, beta, k: as in the equation.
    Raises:
        ShapeError: x has fewer than three axes.
        ValueError: ``size`` is no whole number of at least 1.
    """
    x, (size,) = as_tensor(x), sizes("size", size, 1)
    if x.ndim < 3:
        raise ShapeError(f"local_response_norm: expected x (N, ..., C), of three axes at least, got {x.shape}")
    squares = pad((x * x).reshape(-1, x.shape[-1], 1), (0, 0, size // 2, (size - 1) // 2))
    around = avg_pool1d(squares, size, 1).reshape(x.shape)
    return x / (around * alpha + k) ** beta
