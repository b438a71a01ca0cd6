"""Weighted sums of a few elements along an axis: what interpolation and means over cells are made of."""

import functools
import math
from typing import NamedTuple

import numpy as np

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import kernel
from dlcourse.backend.kernels.constants import constant
from dlcourse.backend.kernels.linear import matmul


class Taps(NamedTuple):
    """What each place of the result is made of, one entry for each tap.

    Attributes:
        source: for every place of the result a place of the input.
        weight: and its weight.
        length: of the input's axis.
    """

    source: tuple[tuple[int, ...], ...]
    weight: tuple[tuple[float, ...], ...]
    length: int


@functools.lru_cache(maxsize=64)
def matrix(taps: Taps) -> np.ndarray:
    """The same as a matrix (out, length)."""
    made = np.zeros((len(taps.source[0]), taps.length))
    for source, weight in zip(taps.source, taps.weight, strict=True):
        np.add.at(made, (np.arange(len(source)), np.array(source)), np.array(weight))
    return made


@kernel
def resample(x: Array, axis: int, taps: Taps) -> Array:
    """y[.., i, ..] = sum_k weight[k][i] x[.., source[k][i], ..] along the axis."""
    xp, total = array_module(x), None
    for source, weight in zip(taps.source, taps.weight, strict=True):
        share = xp.take(x, constant(source, x, np.int64), axis=axis)
        if set(weight) != {1.0}:
            share *= constant(weight, x, x.dtype).reshape(-1, *(1,) * (x.ndim - axis - 1))
        if total is None:
            total = share
        else:
            total += share
    return total


@kernel
def resample_grad(dout: Array, axis: int, taps: Taps) -> Array:
    """dx: the transposed matrix of the weights times dy, along the axis."""
    return along(constant(matrix(taps).T, dout, dout.dtype), dout, axis)


def along(factor: Array, x: Array, axis: int) -> Array:
    """A matrix times x along an axis."""
    before, after = math.prod(x.shape[:axis]), math.prod(x.shape[axis + 1 :])
    several = array_module(x).broadcast_to(factor, (before, *factor.shape))  # products of as many as there are
    product = matmul(several, x.reshape(before, x.shape[axis], after))
    return product.reshape(*x.shape[:axis], len(factor), *x.shape[axis + 1 :])
