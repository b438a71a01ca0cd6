"""Group normalization of a few samples at a time, which stay in the cache, on all threads.

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

BLOCK_BYTES = 1 << 19


@override(kernels.group_norm, "cpu")
def group_norm(x: Array, weight: Array, bias: Array, groups: int, eps: float) -> tuple[Array, Array, Array]:
    y, count = np.empty(x.shape, dtype=x.dtype), max(1, x.shape[1] * x.shape[2] // groups)
    sums, rests, squares = (np.empty((len(x), x.shape[2]), dtype=x.dtype) for _ in range(3))
    _by_samples(lambda part: _add_up(x[part], sums[part]), x)
    rough = _by_group(sums, groups) / count
    center = _by_channel(rough, x)

    def take_away(part: slice) -> None:
        target = np.subtract(x[part], center[part], out=y[part])
        _add_up(target, rests[part])
        _add_up(_product(target, target), squares[part])

    _by_samples(take_away, x)
    rest = _by_group(rests, groups) / count
    inverse = (1 / np.sqrt(_by_group(squares, groups) / count - rest * rest + eps)).astype(x.dtype)
    scale = _by_channel(inverse, x) * weight
    shift = bias - _by_channel(rest, x) * scale

    def finish(part: slice) -> None:
        target = y[part]
        target *= scale[part]
        target += shift[part]

    _by_samples(finish, x)
    return y, (rough + rest).astype(x.dtype), inverse


@override(kernels.group_norm_grad, "cpu")
def group_norm_grad(
    dout: Array, x: Array, weight: Array, mean: Array, inverse: Array, grad_buffers: tuple
) -> tuple[Array, Array, Array]:
    dx, groups = np.empty(x.shape, dtype=x.dtype), mean.shape[1]
    totals, products = (np.empty((len(x), x.shape[2]), dtype=x.dtype) for _ in range(2))
    center = _by_channel(mean, x)

    def add(part: slice) -> None:
        centered = np.subtract(x[part], center[part], out=dx[part])
        _add_up(dout[part], totals[part])
        _add_up(_product(dout[part], centered), products[part])

    _by_samples(add, x)
    scale, share = _by_channel(inverse, x), 1 / max(1, x.shape[1] * x.shape[2] // groups)
    products = products * scale[:, 0]
    level, slope = (_by_channel(_by_group(each * weight, groups) * share, x) for each in (totals, products))
    # dx = (g - level - xhat slope) scale, as dy a + (x - mean) b + c for each channel.
    own, bend, level = weight * scale, -slope * scale * scale, -level * scale

    def spread(part: slice) -> None:
        target = dx[part]
        target *= bend[part]
        target += level[part]
        target += _product(dout[part], own[part])

    _by_samples(spread, x)
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
    threads.run(work, threads.slices(len(x), max(1, BLOCK_BYTES // each)), blas=True)
