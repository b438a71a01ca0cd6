"""Normalisation over the batch, over the channels of each sample, and over groups of channels."""

from dlcourse.autograd import Function, Tensor, apply
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import norm as kernels
from dlcourse.errors import ShapeError

__all__ = ["batch_norm", "group_norm", "layer_norm"]


class BatchNorm(Function):
    """y = w (x - mu) / sqrt(var + eps) + b, mu and var (1/M) over all axes but the last.

    With xhat = (x - mu) / sqrt(var + eps): db = sum dy, dw = sum dy xhat,
    dx = w / sqrt(var + eps) (dy - db / M - xhat dw / M). Shapes: x (..., C), w and b (C,).
    (Lecture 7; Ioffe & Szegedy 2015.)
    """

    def __init__(self, eps: float):
        self.eps = eps

    def forward(self, x: Array, weight: Array, bias: Array) -> Array:
        self.x, self.weight = x.reshape(-1, x.shape[-1]), weight
        y, self.mean, self.inverse = kernels.batch_norm(self.x, weight, bias, self.eps)
        return y.reshape(x.shape)

    def backward(self, dout: Array) -> tuple:
        rows = dout.reshape(self.x.shape)
        known = self.x, self.weight, self.mean, self.inverse
        dx, dweight, dbias = kernels.batch_norm_grad(rows, *known, self.destinations[1:])
        return dx.reshape(dout.shape), dweight, dbias


class BatchNormReLU(BatchNorm):
    """y = max(batch norm of x, 0) in one pass; the gradient is :class:`BatchNorm`'s for dy where y > 0, else 0."""

    def forward(self, x: Array, weight: Array, bias: Array) -> Array:
        self.x, self.weight = x.reshape(-1, x.shape[-1]), weight
        y, self.mean, self.inverse, self.positive = kernels.batch_norm_relu(self.x, weight, bias, self.eps)
        return y.reshape(x.shape)

    def backward(self, dout: Array) -> tuple:
        rows = dout.reshape(self.x.shape)
        dx, dweight, dbias = kernels.batch_norm_relu_grad(
            rows, self.positive, self.x, self.weight, self.mean, self.inverse, self.destinations[1:]
        )
        return dx.reshape(dout.shape), dweight, dbias


class LayerNorm(Function):
    """y = w (x - mu) / sqrt(var + eps) + b, mu and var (1/D) over the last axis of each sample.

    With xhat = (x - mu) / sqrt(var + eps) and g = dy w: dx = (g - mean g - xhat mean(g xhat)) / sqrt(var + eps),
    dw = sum dy xhat, db = sum dy. Shapes: x (..., D), w and b (D,). (Ba, Kiros & Hinton 2016.)
    """

    def __init__(self, eps: float):
        self.eps = eps

    def forward(self, x: Array, weight: Array, bias: Array) -> Array:
        self.x, self.weight = x.reshape(-1, x.shape[-1]), weight
        y, self.mean, self.inverse = kernels.layer_norm(self.x, weight, bias, self.eps)
        return y.reshape(x.shape)

    def backward(self, dout: Array) -> tuple:
        rows = dout.reshape(self.x.shape)
        known = self.x, self.weight, self.mean, self.inverse
        dx, dweight, dbias = kernels.layer_norm_grad(rows, *known, self.destinations[1:])
        return dx.reshape(dout.shape), dweight, dbias


def batch_norm(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    eps: float = 1e-5,
    relu: bool = False,
    running: tuple[Array, Array] | None = None,
    momentum: float = 0.1,
) -> Tensor:
    """Normalise each channel (the last axis) by the batch's own statistics; with ``relu`` a ReLU in the same pass.

    Args:
        running: averages of the mean and of the unbiased variance, each (C,), which move in place by ``momentum``
            towards the batch's.
    Raises:
        ShapeError: the shapes do not fit, or a channel has fewer than two values to normalise by.
    """
    if x.ndim < 2 or weight.shape != x.shape[-1:] or bias.shape != x.shape[-1:]:
        raise ShapeError(f"batch_norm: expected x (..., C), weight (C,), bias (C,), got {x.shape}, {weight.shape}")
    if x.size // x.shape[-1] < 2:
        raise ShapeError(f"batch_norm: one value a channel has no variance, got x {x.shape}; use a larger batch")
    function = (BatchNormReLU if relu else BatchNorm)(eps)
    y = apply(function, x, weight, bias)
    if running is not None:
        count = x.size // x.shape[-1]
        kernels.follow_statistics(*running, function.mean, function.inverse, eps, momentum, count / (count - 1))
    return y


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
    """Normalise the last axis of each sample."""
    if x.ndim < 1 or weight.shape != x.shape[-1:] or bias.shape != x.shape[-1:]:
        raise ShapeError(f"layer_norm: expected x (..., D), weight (D,), bias (D,), got {x.shape}, {weight.shape}")
    return apply(LayerNorm(eps), x, weight, bias)


def group_norm(x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
    """Normalise groups of channels of each sample together, over all places: x (N, ..., C). (Wu & He 2018.)"""
    channels = x.shape[-1]
    if x.ndim < 2 or channels % groups or weight.shape != (channels,) or bias.shape != (channels,):
        raise ShapeError(
            f"group_norm: expected x (N, ..., C) with C a multiple of {groups}, weight (C,), got {x.shape}"
        )
    n, places = x.shape[0], x.size // max(1, x.shape[0] * channels)
    width = channels // groups
    # One row a sample and group: (N, places, G, C/G) -> (N G, places C/G).
    rows = x.reshape(n, places, groups, width).transpose(0, 2, 1, 3).reshape(n * groups, places * width)
    centred = rows - rows.mean(axis=1, keepdims=True)
    normal = centred / ((centred * centred).mean(axis=1, keepdims=True) + eps).sqrt()
    return normal.reshape(n, groups, places, width).transpose(0, 2, 1, 3).reshape(x.shape) * weight + bias
