"""Group normalization of some samples at a time, on all threads.

Sums over the positions are products with a vector of ones, one number a channel; a group's sum is that of a few such.
The first mean is right to some digits only, the mean of what is left after taking it away makes up for that.
"""

from collections.abc import Callable

import numpy as np

from dlcourse.backend.cpu import threads
from dlcourse.backend.cpu.memory import scratch
from dlcourse.backend.cpu.norm import copy_into_buffers
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import group_norm as kernels
from dlcourse.backend.kernels import override

BLOCK_BYTES, LONE_BLOCK_BYTES = 1 << 21, 1 << 19
"""Of blocks that fit a core's cache two threads wait for each other at the interpreter's lock (64 x 784 x 48: 4.6 ms
by 512 KiB, 3.2 by 2 MiB); one thread takes the smaller ones."""


@override(kernels.group_norm, "cpu")
def group_norm(x: Array, weight: Array, bias: Array, groups: int, eps: float) -> tuple[Array, Array, Array]:
    y, count = np.empty(x.shape, dtype=x.dtype), max(1, x.shape[1] * x.shape[2] // groups)
    mean, inverse = (np.empty((len(x), groups), dtype=x.dtype) for _ in range(2))

    def normalize(part: slice) -> None:
        target = y[part]
        sums, rests, squares = np.empty((3, len(target), x.shape[2]), dtype=x.dtype)
        _add_up(x[part], sums)
        rough = _by_group(sums, groups) / count
        np.subtract(x[part], _by_channel(rough, x), out=target)
        _add_up(target, rests)
        _add_up(_product(target, target), squares)
        rest = _by_group(rests, groups) / count
        mean[part] = rough + rest
        inverse[part] = 1 / np.sqrt(_by_group(squares, groups) / count - rest * rest + eps)
        scale = _by_channel(inverse[part], x) * weight
        target *= scale
        target += bias - _by_channel(rest, x) * scale

    _by_samples(normalize, x)
    return y, mean, inverse


@override(kernels.group_norm_grad, "cpu")
def group_norm_grad(
    dout: Array, x: Array, weight: Array, mean: Array, inverse: Array, grad_buffers: tuple
) -> tuple[Array, Array, Array]:
    dx, groups, share = np.empty(x.shape, dtype=x.dtype), mean.shape[1], mean.shape[1] / max(1, x.shape[1] * x.shape[2])
    totals, products = (np.empty((len(x), x.shape[2]), dtype=x.dtype) for _ in range(2))

    def compute(part: slice) -> None:
        target, scale = dx[part], _by_channel(inverse[part], x)
        np.subtract(x[part], _by_channel(mean[part], x), out=target)
        _add_up(dout[part], totals[part])
        _add_up(_product(dout[part], target), products[part])
        products[part] *= scale[:, 0]
        level, slope = (_by_channel(_by_group(each[part] * weight, groups) * share, x) for each in (totals, products))
        # dx = (g - level - xhat slope) scale, as dy a + (x - mean) b + c for each channel.
        target *= -slope * scale * scale
        target -= level * scale
        target += _product(dout[part], weight * scale)

    _by_samples(compute, x)
    dweight, dbias = (each.sum(axis=0, dtype=np.float64).astype(x.dtype) for each in (products, totals))
    return copy_into_buffers((dx, dweight, dbias), grad_buffers)


def _add_up(x: Array, out: Array) -> None:
    """(n, P, C) -> (n, C)."""
    np.matmul(np.ones(x.shape[1], dtype=x.dtype), x, out=out)


def _product(a: Array, b: Array) -> Array:
    return np.multiply(a, b, out=scratch("norm", a.shape, a.dtype))


def _by_group(sums: Array, groups: int) -> Array:
    """(n, C) -> (n, G), float64."""
    return sums.reshape(len(sums), groups, sums.shape[1] // groups).sum(axis=2, dtype=np.float64)


def _by_channel(of_groups: Array, x: Array) -> Array:
    """(n, G) -> (n, 1, C), of x's type."""
    return np.repeat(of_groups, x.shape[2] // of_groups.shape[1], axis=1)[:, None].astype(x.dtype, copy=False)


def _by_samples(work: Callable[[slice], None], x: Array) -> None:
    each = max(1, x.itemsize * x.shape[1] * x.shape[2])
    block = LONE_BLOCK_BYTES if threads.budget() == 1 else BLOCK_BYTES
    threads.run(work, threads.slices(len(x), max(1, block // each)), blas=True)
