"""Normalization of groups of channels of each sample, over its positions, with the gradient written out.

A group has M = P C / G numbers of a sample (P, C). With means taken over these and g = dy w,
dx = (g - mean(g) - xhat mean(g xhat)) / sqrt(var + eps), as in ``norm.py``.
"""

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import kernel
from dlcourse.backend.kernels.grad_buffers import copy_into


@kernel(float32_outputs=(1, 2))
def group_norm(x: Array, weight: Array, bias: Array, groups: int, eps: float) -> tuple[Array, Array, Array]:
    """Normalize each group of neighboring channels of each sample of x (N, P, C) by its own mean and variance (1/M).

    Returns:
        y (N, P, C), mean (N, G), 1 / sqrt(var + eps) (N, G).
    """
    xp, parts = array_module(x), _groups(x, groups)
    mean = parts.mean(axis=(1, 3), keepdims=True)
    inverse = 1 / xp.sqrt(parts.var(axis=(1, 3), keepdims=True) + eps)
    y = ((parts - mean) * inverse).reshape(x.shape) * weight + bias
    return y, mean.reshape(len(x), groups), inverse.reshape(len(x), groups)


@kernel(writes=("grad_buffers",))
def group_norm_grad(
    dout: Array, x: Array, weight: Array, mean: Array, inverse: Array, grad_buffers: tuple
) -> tuple[Array, Array, Array]:
    """dx (N, P, C), dw (C,), db (C,); the last two into ``grad_buffers`` where that holds arrays and not None."""
    groups = mean.shape[1]
    xhat = (_groups(x, groups) - mean[:, None, :, None]) * inverse[:, None, :, None]
    g = _groups(dout * weight, groups)
    level, slope = (each.mean(axis=(1, 3), keepdims=True) for each in (g, g * xhat))
    dx = (inverse[:, None, :, None] * (g - level - xhat * slope)).reshape(x.shape)
    dweight, dbias = (dout * xhat.reshape(x.shape)).sum(axis=(0, 1)), dout.sum(axis=(0, 1))
    return dx, copy_into(dweight, grad_buffers[0]), copy_into(dbias, grad_buffers[1])


def _groups(x: Array, groups: int) -> Array:
    """(N, P, C) -> (N, P, G, C / G)."""
    return x.reshape(*x.shape[:2], groups, x.shape[2] // groups)
