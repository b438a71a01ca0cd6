"""Group normalization of a few samples at a time, which stay in the cache, on all threads.

Sums over the positions are products with a vector of ones, one number a channel; a group's sum is that of a few such.
The first mean is right to some digits only, the mean of what is left after taking it away makes up for that.
"""

import numpy as np

from dlcourse.backend.cpu import threads
from dlcourse.backend.cpu.memory import scratch
from dlcourse.backend.cpu.norm import copy_into_buffers
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import group_norm as kernels
from dlcourse.backend.kernels import override

BLOCK_BYTES = 1 << 18


@override(kernels.group_norm, "cpu")
def group_norm(x: Array, weight: Array, bias: Array, groups: int, eps: float) -> tuple[Array, Array, Array]:
    y, count = np.empty(x.shape, dtype=x.dtype), max(1, x.shape[1] * x.shape[2] // groups)
    mean, inverse = (np.empty((len(x), groups), dtype=x.dtype) for _ in range(2))

    def normalize(part: slice) -> None:
        target = y[part]
        rough = _by_group(_over_positions(x[part]), groups) / count
        np.subtract(x[part], _by_channel(rough, x), out=target)
        rest = _by_group(_over_positions(target), groups) / count
        squares = _by_group(_over_positions(_product(target, target)), groups)
        mean[part] = rough + rest
        inverse[part] = 1 / np.sqrt(squares / count - rest * rest + eps)
        scale = _by_channel(inverse[part], x) * weight
        target *= scale
        target += bias - _by_channel(rest.astype(x.dtype), x) * scale

    threads.run(normalize, _blocks(x), blas=True)
    return y, mean, inverse


@override(kernels.group_norm_grad, "cpu")
def group_norm_grad(
    dout: Array, x: Array, weight: Array, mean: Array, inverse: Array, grad_buffers: tuple
) -> tuple[Array, Array, Array]:
    dx, blocks, groups = np.empty(x.shape, dtype=x.dtype), _blocks(x), mean.shape[1]
    share, sums = 1 / max(1, x.shape[1] * x.shape[2] // groups), np.empty((len(blocks), 2, x.shape[2]))

    def spread(index: int) -> None:
        part = blocks[index]
        dy, target, scale = dout[part], dx[part], _by_channel(inverse[part], x)
        centered = np.subtract(x[part], _by_channel(mean[part], x), out=scratch("norm", target.shape, x.dtype))
        totals = _over_positions(dy)
        products = _over_positions(np.multiply(dy, centered, out=target)) * scale[:, 0]
        sums[index] = products.sum(axis=0), totals.sum(axis=0)
        level, slope = (
            _by_channel((_by_group(each * weight, groups) * share).astype(x.dtype), x) for each in (totals, products)
        )
        # dx = (g - level - xhat slope) scale, as dy a - (x - mean) b - c for each channel.
        np.multiply(dy, weight * scale, out=target)
        centered *= slope * scale * scale
        target -= centered
        target -= level * scale

    threads.run(spread, range(len(blocks)), blas=True)
    dweight, dbias = sums.sum(axis=0).astype(x.dtype)
    return copy_into_buffers((dx, dweight, dbias), grad_buffers)


def _over_positions(x: Array) -> Array:
    """(n, P, C) -> (n, C)."""
    return np.matmul(np.ones(x.shape[1], dtype=x.dtype), x)


def _product(a: Array, b: Array) -> Array:
    return np.multiply(a, b, out=scratch("norm", a.shape, a.dtype))


def _by_group(sums: Array, groups: int) -> Array:
    """(n, C) -> (n, G), float64."""
    return sums.reshape(len(sums), groups, -1).sum(axis=2, dtype=np.float64)


def _by_channel(of_groups: Array, x: Array) -> Array:
    """(n, G) -> (n, 1, C), of x's type."""
    return np.repeat(of_groups, x.shape[2] // of_groups.shape[1], axis=1)[:, None].astype(x.dtype, copy=False)


def _blocks(x: Array) -> list[slice]:
    return threads.slices(len(x), max(1, BLOCK_BYTES // max(1, x.itemsize * x.shape[1] * x.shape[2])))
