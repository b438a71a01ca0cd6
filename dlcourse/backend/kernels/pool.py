"""Pooling of images (N, H, W, C) over windows that may overlap and reach into padding."""

from typing import NamedTuple

import numpy as np

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import kernel
from dlcourse.backend.kernels.constants import constant
from dlcourse.backend.kernels.conv import ConvGeometry, Pair, pad, taps


class PoolGeometry(NamedTuple):
    """How a window moves over images."""

    window: Pair
    stride: Pair
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    """How far the window's places are apart; only the maximum has windows with gaps."""

    def out_shape(self, x_shape: tuple) -> tuple[int, int, int, int]:
        """(N, H', W', C) of the result, for images (N, H, W, C)."""
        size = ConvGeometry(self.stride, self.padding, self.dilation).out_size(x_shape, self.window)
        return (x_shape[0], *size, x_shape[3])


@kernel
def max_pool2d(x: Array, geometry: PoolGeometry) -> tuple[Array, Array]:
    """The largest element of each window, and which of its positions holds it (the first, row by row).

    A NaN counts as larger than everything; of several the last one's place is given. Padding holds no element: where
    all that the window sees is -inf, the place is the first one in the image. All as PyTorch has it.

    Places are bytes where they fit (windows of up to 256), else int32.
    """
    xp, shape, (window, stride, padding, dilation) = array_module(x), geometry.out_shape(x.shape), geometry
    y = xp.full(shape, -xp.inf, dtype=x.dtype)
    argmax = xp.zeros(shape, dtype=xp.uint8 if window[0] * window[1] <= 256 else xp.int32)
    argmax[...] = constant(_first_argmax(shape[1:3], geometry), x)[..., None]
    for i, j, view in taps(pad(x, padding, -xp.inf), shape, window, stride, dilation):
        larger = (view > y) | xp.isnan(view)
        argmax = xp.where(larger, argmax.dtype.type(i * window[1] + j), argmax)
        y = xp.where(larger, view, y)
    return y, argmax


@kernel
def max_pool2d_grad(dout: Array, argmax: Array, x_shape: tuple, geometry: PoolGeometry) -> Array:
    """dx: each window sends dy to the place that held its largest element."""
    xp, (window, stride, padding, dilation) = array_module(dout), geometry
    padded = _padded_zeros(dout, x_shape, padding)
    for i, j, view in taps(padded, dout.shape, window, stride, dilation):
        view += xp.where(argmax == i * window[1] + j, dout, 0)
    return _inner(padded, x_shape, padding)


@kernel
def avg_pool2d(x: Array, geometry: PoolGeometry) -> Array:
    """The mean of each window; padding counts as zeros."""
    xp, shape, (window, stride, padding, _) = array_module(x), geometry.out_shape(x.shape), geometry
    y = xp.zeros(shape, dtype=x.dtype)
    for _, _, view in taps(pad(x, padding), shape, window, stride):
        y += view
    y *= 1 / (window[0] * window[1])
    return y


@kernel
def avg_pool2d_grad(dout: Array, x_shape: tuple, geometry: PoolGeometry) -> Array:
    """dx: each window sends dy / (kh kw) to all its positions."""
    window, stride, padding, _ = geometry
    padded = _padded_zeros(dout, x_shape, padding)
    share = dout * (1 / (window[0] * window[1]))
    for _, _, view in taps(padded, dout.shape, window, stride):
        view += share
    return _inner(padded, x_shape, padding)


def _first_argmax(out: Pair, geometry: PoolGeometry) -> np.ndarray:
    """For each window (H', W') the number of the first of its positions that is in the image and not in the padding."""
    window, *settings = geometry
    rows, columns = (
        -(-np.maximum(edge - step * np.arange(length), 0) // apart)
        for length, step, edge, apart in zip(out, *settings, strict=True)
    )
    return rows[:, None] * window[1] + columns


def _padded_zeros(dout: Array, x_shape: tuple, padding: Pair) -> Array:
    n, h, w, channels = x_shape
    return array_module(dout).zeros((n, h + 2 * padding[0], w + 2 * padding[1], channels), dtype=dout.dtype)


def _inner(padded: Array, x_shape: tuple, padding: Pair) -> Array:
    return padded[:, padding[0] : padding[0] + x_shape[1], padding[1] : padding[1] + x_shape[2]]
