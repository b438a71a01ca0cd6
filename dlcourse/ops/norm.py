"""Normalization over the batch, and over the last axes of each sample."""

import functools
from typing import Any

import numpy as np

from dlcourse.autograd import Function, Tensor, apply, as_tensor, elementwise, promotion
from dlcourse.autograd.replicas import ReplicaArray, Rule
from dlcourse.backend import array_module, collectives
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import activation
from dlcourse.backend.kernels import norm as kernels
from dlcourse.backend.kernels.activation import add
from dlcourse.backend.kernels.grad_buffers import copy_into
from dlcourse.backend.kernels.replicas import summed_products
from dlcourse.backend.kernels.select import selected
from dlcourse.errors import ShapeError
from dlcourse.ops.residual import add_relu

__all__ = ["batch_norm", "layer_norm"]


class NormRule(Rule):
    """:class:`BatchNorm` without a residual, and :class:`LayerNorm`, of replicas: the equations over another axis."""

    def forward(self, x: Any, weight: Any, bias: Any, *residual: Any) -> Any:
        if residual or not all(isinstance(each, ReplicaArray) for each in (x, weight, bias)):
            return NotImplemented
        values = x.values.reshape(len(x.values), -1, x.shape[-1])  # (R, M, C)
        xp, batch = array_module(values), isinstance(self.function, BatchNorm)
        eps, running, relu = self.function.settings if batch else (self.function.eps, None, False)
        self.axis = 1 if batch else 2
        mean = values.mean(axis=self.axis, keepdims=True)
        self.xhat = values - mean
        var = summed_products(self.xhat, self.xhat, self.axis) / values.shape[self.axis]
        var = var.reshape(mean.shape)
        self.inverse = 1 / xp.sqrt(var + eps)
        self.xhat *= self.inverse
        if running is not None:
            for moving, value in ((running.mean, mean), (running.var, var * running.correction)):
                moving.values *= 1 - running.momentum
                moving.values += running.momentum * value[:, 0]
        self.weight = weight.values[:, None]
        y = self.xhat * self.weight
        y += bias.values[:, None]
        self.y = activation.relu(y) if relu else None
        return (y if self.y is None else self.y).reshape(x.values.shape)

    def backward(self, dout: Array) -> tuple:
        dz = dout.reshape(self.xhat.shape)
        dz = dz if self.y is None else activation.relu_grad(dz, self.y)
        dbias = dz.sum(axis=1, out=self.grad_buffers[2])
        dweight = summed_products(dz, self.xhat, 1)
        if self.grad_buffers[1] is not None:
            dweight = copy_into(dweight, self.grad_buffers[1])
        if self.axis == 1:
            count = dz.shape[1]
            dx = dz - dbias[:, None] / count
            dx -= self.xhat * (dweight[:, None] / count)
            dx *= self.inverse * self.weight
        else:
            g = dz * self.weight
            dx = g - g.mean(axis=2, keepdims=True)
            dx -= self.xhat * (g * self.xhat).mean(axis=2, keepdims=True)
            dx *= self.inverse
        return dx.reshape(dout.shape), dweight, dbias


class BatchNorm(Function):
    """y = w (x - mu) / sqrt(var + eps) + b, mu and var (1/M) over all axes but the last.

    With xhat = (x - mu) / sqrt(var + eps): db = sum dy, dw = sum dy xhat,
    dx = w / sqrt(var + eps) (dy - db / M - xhat dw / M). Shapes: x (..., C), w and b (C,).
    (Lecture 7; Ioffe & Szegedy 2015.)

    With a ReLU in the same pass y = max(the above, 0); with a residual r of x's shape too, the end of a residual block,
    y = max(the above + r, 0). With dz = dy where y > 0, else 0: dr = dz, and the other gradients are those above of dz.
    """

    refuses_whole = True

    replica_rule = NormRule

    def __init__(self, eps: float, running: kernels.RunningStats | None, relu: bool):
        self.settings = eps, running, relu

    def forward(self, x: Array, weight: Array, bias: Array, residual: Array | None = None) -> Array:
        rows = x.reshape(-1, x.shape[-1])
        added = None if residual is None else residual.reshape(rows.shape)
        y, mean, inverse, bits = kernels.batch_norm(rows, weight, bias, added, *self.settings)
        self.saved = kernels.BatchNormSaved(rows, weight, mean, inverse, bits, None if residual is None else y)
        self.adds_gradients = residual is not None
        return y.reshape(x.shape)

    def backward(self, dout: Array | tuple[Array, ...]) -> tuple:
        douts = dout if isinstance(dout, tuple) else (dout,)
        shape, (first, *more) = douts[0].shape, (each.reshape(self.saved.x.shape) for each in douts)
        rest = functools.reduce(add, more) if more else None
        dx, dweight, dbias, dz = kernels.batch_norm_grad(first, rest, self.saved, self.grad_buffers[1:3])
        return dx.reshape(shape), dweight, dbias, *(() if dz is None else (dz.reshape(shape),))


class SyncBatchNorm(Function):
    """:class:`BatchNorm` by the statistics of all ranks' values together, each with a part of the batch.

    With n, m and v the count, mean and variance of a rank, N = sum n: mu = sum n m / N,
    var = sum n (v + m^2) / N - mu^2, in float64. Of the gradients db and dw of all ranks, which dx needs, each returns
    its own part, since gradients are summed afterwards.
    """

    refuses_whole = True
    compute_in_float32 = True

    def __init__(self, eps: float, running: tuple[Array, Array, float] | None, relu: bool):
        self.eps, self.running, self.relu = eps, running, relu

    def forward(self, x: Array, weight: Array, bias: Array, residual: Array | None = None) -> Array:
        rows, xp, group = x.reshape(-1, x.shape[-1]), array_module(x), collectives.group()
        mean, variance = rows.mean(axis=0, dtype=np.float64), rows.var(axis=0, dtype=np.float64)
        count = xp.full(mean.shape, float(len(rows)))
        sums = group.all_reduce(xp.stack([count, count * mean, count * (variance + mean * mean)]))
        mean, variance = sums[1] / sums[0], xp.maximum(sums[2] / sums[0] - (sums[1] / sums[0]) ** 2, 0)
        self.count = sums[0]
        inverse = 1 / xp.sqrt(variance + self.eps)
        self.x, self.weight, self.residual = rows, weight, residual is not None
        self.mean, self.inverse = (each.astype(x.dtype) for each in (mean, inverse))
        if self.running is not None:
            running_mean, running_var, momentum = self.running
            distinct = self.count / group.copies
            unbiased = variance * distinct / xp.maximum(distinct - 1, 1)
            for running, value in ((running_mean, mean), (running_var, unbiased)):
                running *= 1 - momentum
                running += momentum * value
        y = (rows - self.mean) * (self.inverse * weight)
        y += bias
        if residual is not None:
            y += residual.reshape(y.shape)
        if self.relu:
            xp.maximum(y, 0, out=y)
            self.positive = y > 0
        return y.reshape(x.shape)

    def backward(self, dout: Array) -> tuple:
        xp, dz = array_module(dout), dout.reshape(self.x.shape)
        if self.relu:
            dz = selected(dz, self.positive)
        xhat = (self.x - self.mean) * self.inverse
        dbias, dweight = dz.sum(axis=0, dtype=np.float64), (dz * xhat).sum(axis=0, dtype=np.float64)
        all_bias, all_weight = collectives.group().all_reduce(xp.stack([dbias, dweight])) / self.count
        kind = self.x.dtype
        dx = (self.inverse * self.weight) * (dz - all_bias.astype(kind) - xhat * all_weight.astype(kind))
        own = dx.reshape(dout.shape), dweight.astype(kind), dbias.astype(kind)
        return (*own, dz.reshape(dout.shape)) if self.residual else own


class LayerNorm(Function):
    """y = w (x - mu) / sqrt(var + eps) + b, mu and var (1/D) over the last axis of each sample.

    With xhat = (x - mu) / sqrt(var + eps) and g = dy w: dx = (g - mean g - xhat mean(g xhat)) / sqrt(var + eps),
    dw = sum dy xhat, db = sum dy. Shapes: x (..., D), w and b (D,). (Ba, Kiros & Hinton 2016.)
    """

    refuses_whole = True
    adds_earlier_grad = True
    replica_rule = NormRule

    def __init__(self, eps: float):
        self.eps = eps

    def forward(self, x: Array, weight: Array, bias: Array) -> Array:
        self.x, self.weight = x.reshape(-1, x.shape[-1]), weight
        y, self.mean, self.inverse = kernels.layer_norm(self.x, weight, bias, self.eps)
        return y.reshape(x.shape)

    def backward(self, dout: Array) -> tuple:
        earlier = None if self.earlier_grad is None else self.earlier_grad.reshape(self.x.shape)
        known = earlier, self.x, self.weight, self.mean, self.inverse, self.grad_buffers[1:]
        dx, dweight, dbias = kernels.layer_norm_grad(dout.reshape(self.x.shape), *known)
        return dx.reshape(dout.shape), dweight, dbias


def batch_norm(
    x: Tensor,
    running_mean: Array | Tensor | None,
    running_var: Array | Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    relu: bool = False,
    residual: Tensor | None = None,
    synchronized: bool = False,
) -> Tensor:
    """Normalize each channel (the last axis); as ``torch.nn.functional.batch_norm``, channels last.

    Args:
        x: (..., C).
        running_mean, running_var: averages (C,) of the mean and of the unbiased variance. In training they move in
            place by ``momentum`` towards the batch's, if given; in evaluation x is normalized by them.
        weight, bias: (C,); ones and zeros if left out.
        training: normalize by the batch's own statistics.
        eps: added to the variance.
        relu: a ReLU in the same pass.
        residual: with the ReLU, what is added before it, of x's shape.
        synchronized: in training, where several processes have parts of the batch, normalize by the statistics of all.
    Raises:
        ShapeError: the shapes do not fit, or in training a channel has fewer than two values to normalize by.
        ValueError: evaluation without running statistics.
    """
    x = as_tensor(x)
    promotion.refuse_whole("batch_norm", [x])
    channels = x.shape[-1:] if x.ndim > 1 else None
    mean, variance = (None if given is None else as_tensor(given) for given in (running_mean, running_var))
    weight, bias = affine(x, channels, weight, bias)
    if any(given is not None and given.shape != channels for given in (weight, bias, mean, variance)):
        shapes = [given.shape for given in (x, mean, variance, weight, bias) if given is not None]
        raise ShapeError(f"batch_norm: expected x (..., C) and for all else (C,), got {', '.join(map(str, shapes))}")
    if residual is not None and (residual.shape != x.shape or not relu):
        raise ShapeError(f"batch_norm: a residual has x's shape and goes with relu, got {residual.shape}, x {x.shape}")
    if not training:
        return _normalized_by(x, mean, variance, weight, bias, eps, relu, residual)
    inputs = [x, weight, bias, *([] if residual is None else [residual])]
    if synchronized and collectives.group().size > 1:
        followed = None if mean is None or variance is None else (mean.data, variance.data, momentum)
        return apply(SyncBatchNorm(eps, followed, relu), *inputs)
    count = x.size // max(1, x.shape[-1])
    if count < 2:
        raise ShapeError(f"batch_norm: one value a channel has no variance, got x {x.shape}; use a larger batch")
    running = None
    if mean is not None and variance is not None:
        running = kernels.RunningStats(mean.data, variance.data, momentum, count / (count - 1))
    return apply(BatchNorm(eps, running, relu), *inputs)


def _normalized_by(
    x: Tensor,
    mean: Tensor | None,
    variance: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    eps: float,
    relu: bool,
    residual: Tensor | None,
) -> Tensor:
    if mean is None or variance is None:
        raise ValueError("batch_norm: without training=True it needs running_mean and running_var")
    inverse = 1 / (variance.detach() + eps).sqrt()
    y = (x - mean.detach()) * (weight * inverse) + bias
    y = y.to(dtype=x.dtype)  # the running statistics are float32 in half precision
    if residual is not None:
        return add_relu(y, residual)
    return apply(elementwise.ReLU(), y) if relu else y


def affine(
    x: Tensor, shape: tuple[int, ...] | None, weight: Tensor | None, bias: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Weight and bias, ones and zeros where there are none."""
    xp, shape = array_module(x.data), shape or ()
    weight = xp.ones(shape, dtype=x.dtype) if weight is None else weight
    bias = xp.zeros(shape, dtype=x.dtype) if bias is None else bias
    return as_tensor(weight), as_tensor(bias)


def layer_norm(
    x: Tensor,
    normalized_shape: int | tuple[int, ...],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalize the last axes of each sample together; as ``torch.nn.functional.layer_norm``.

    Args:
        x: (..., *normalized_shape).
        normalized_shape: the lengths of the last axes, one number for the last one.
        weight, bias: of that shape; ones and zeros if left out.
        eps: added to the variance.
    Raises:
        ShapeError: the shapes do not fit.
    """
    x = as_tensor(x)
    shape = last_axes("layer_norm", x, normalized_shape)
    weight, bias = affine(x, shape, weight, bias)
    if x.shape[-len(shape) :] != shape or weight.shape != shape or bias.shape != shape:
        raise ShapeError(
            f"layer_norm: expected x (..., {', '.join(map(str, shape))}), weight and bias {shape}, "
            f"got {x.shape}, {weight.shape}, {bias.shape}"
        )
    if len(shape) == 1:
        return apply(LayerNorm(eps), x, weight, bias)
    rows = x.reshape(*x.shape[: -len(shape)], -1)
    return apply(LayerNorm(eps), rows, weight.reshape(-1), bias.reshape(-1)).reshape(x.shape)


def last_axes(name: str, x: Tensor, normalized_shape: Any) -> tuple[int, ...]:
    """The lengths of the last axes, given as a number or several.

    Raises:
        ShapeError: they are no whole numbers.
    """
    shape = normalized_shape if isinstance(normalized_shape, tuple | list) else (normalized_shape,)
    if not shape or not all(isinstance(length, int | np.integer) for length in shape):
        raise ShapeError(
            f"{name}: normalized_shape is the lengths of the last axes, such as {x.shape[-1:]}, got "
            f"{type(normalized_shape).__name__}; the order is {name}(x, normalized_shape, weight, ...)"
        )
    return tuple(shape)
