"""Pooling: an image or a sequence made smaller (lecture 8)."""

import math
from typing import Any

import numpy as np

from dlcourse.autograd import Function, Tensor, apply, as_tensor
from dlcourse.backend import array_module
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import pool as kernels
from dlcourse.backend.kernels.constants import constant
from dlcourse.backend.kernels.conv import Pair
from dlcourse.backend.kernels.pool import PoolGeometry
from dlcourse.errors import ArgumentError, ShapeError
from dlcourse.ops.conv import SHAPES, Sizes, sizes
from dlcourse.ops.pad import pad

__all__ = ["avg_pool1d", "avg_pool2d", "global_avg_pool2d", "lp_pool1d", "lp_pool2d", "max_pool1d", "max_pool2d"]


class Pool2d(Function):
    """What both poolings share: the window, its step and the padding."""

    refuses_whole = True

    def __init__(self, geometry: PoolGeometry):
        self.geometry = geometry


class MaxPool2d(Pool2d):
    """y[p] = max over the window of x; dx gets dy at the window's first largest element. Padding never wins."""

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        y, self.argmax = kernels.max_pool2d(x, self.geometry)
        return y

    def backward(self, dout: Array) -> Array:
        return kernels.max_pool2d_grad(dout, self.argmax, self.shape, self.geometry)


class AvgPool2d(Pool2d):
    """y[p] = sum over the window of x / divisor[p], padding counted as zeros; dx gets dy / divisor all over the window.

    The divisor is the window's size kh kw, times 1 / ``factor`` where that is given, (H', W', 1).
    """

    def __init__(self, geometry: PoolGeometry, factor: np.ndarray | None = None):
        super().__init__(geometry)
        self.factor = factor
        self.compute_in_float32 = factor is not None

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        return self._scaled(kernels.avg_pool2d(x, self.geometry))

    def backward(self, dout: Array) -> Array:
        dout = dout if self.factor is None else self._scaled(dout.copy())
        return kernels.avg_pool2d_grad(dout, self.shape, self.geometry)

    def _scaled(self, array: Array) -> Array:
        if self.factor is not None:
            array *= constant(self.factor, array, array.dtype)
        return array


def max_pool2d(
    x: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of each window of (N, H, W, C); as ``torch.nn.functional.max_pool2d``, channels last.

    Args:
        x: (N, H, W, C).
        kernel_size, stride, padding, dilation: a number for both axes or (vertical, horizontal). The stride is the
            window's size if left out; the padding is at most half of the window, and never wins.
        ceil_mode: whether a window that reaches over the far edge counts, if it begins inside.
        return_indices: whether to give the places of the largest elements too, as numbers h W + w.
    Raises:
        ShapeError: x is no batch of images, or the window does not fit.
    """
    return _max_pool("max_pool2d", 2, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool1d(
    x: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of each window of (N, T, C); the arguments are those of :func:`max_pool2d`, of one axis."""
    return _max_pool("max_pool1d", 1, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def avg_pool2d(
    x: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window of (N, H, W, C); as ``torch.nn.functional.avg_pool2d``, channels last.

    Args:
        x: (N, H, W, C).
        kernel_size, stride, padding, ceil_mode: as for :func:`max_pool2d`; the padding is zeros.
        count_include_pad: whether padding counts in the number that the sum is divided by; what a window has beyond
            the padding never does.
        divisor_override: divides the sum instead.
    Raises:
        ShapeError: x is no batch of images, or the window does not fit.
    """
    return _avg_pool("avg_pool2d", 2, x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def avg_pool1d(
    x: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window of (N, T, C); the arguments are those of :func:`avg_pool2d`, of one axis."""
    return _avg_pool("avg_pool1d", 1, x, kernel_size, stride, padding, ceil_mode, count_include_pad)


def lp_pool2d(
    x: Tensor, norm_type: float, kernel_size: Sizes, stride: Sizes | None = None, ceil_mode: bool = False
) -> Tensor:
    """(sum x^p)^(1/p) over each window of (N, H, W, C); as ``torch.nn.functional.lp_pool2d``, channels last. With p = 1
    it is the sum, and the larger p, the closer to the maximum.

    Args:
        norm_type: p, not 0; where it is odd, a window whose sum is negative has no p-th root and becomes NaN.
        kernel_size, stride, ceil_mode: as :func:`avg_pool2d` has them.
    Raises:
        ArgumentError: p is 0.
        ShapeError: x is no batch of images, or the window does not fit.
    """
    return _lp_pool("lp_pool2d", 2, x, norm_type, kernel_size, stride, ceil_mode)


def lp_pool1d(
    x: Tensor, norm_type: float, kernel_size: Sizes, stride: Sizes | None = None, ceil_mode: bool = False
) -> Tensor:
    """(sum x^p)^(1/p) over each window of (N, T, C), see :func:`lp_pool2d`."""
    return _lp_pool("lp_pool1d", 1, x, norm_type, kernel_size, stride, ceil_mode)


def _lp_pool(name: str, axes: int, x: Tensor, p: float, kernel_size: Any, stride: Any, ceil_mode: bool) -> Tensor:
    if not p:
        raise ArgumentError(f"{name}: norm_type is not 0")
    powers = as_tensor(x) ** p
    means = _avg_pool(name, axes, powers, kernel_size, stride, 0, ceil_mode, True)
    return (means * math.prod(sizes("kernel_size", kernel_size, axes))) ** (1 / p)


def global_avg_pool2d(x: Tensor) -> Tensor:
    """The mean over each whole image: (N, H, W, C) -> (N, C)."""
    if x.ndim != 4:
        raise ShapeError(f"global_avg_pool2d: expected x (N, H, W, C), got {x.shape}")
    return as_tensor(x).mean(axis=(1, 2))


def _max_pool(
    name: str,
    axes: int,
    x: Tensor,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
    return_indices: bool,
) -> Any:
    x = as_images(name, axes, x)
    geometry = _geometry(name, axes, x, kernel_size, stride, padding, dilation)
    more = _beyond(x, geometry) if ceil_mode else (0, 0)
    # What is beyond the far edge never wins, like the padding.
    function = MaxPool2d(geometry)
    y = apply(function, pad(x, (0, 0, 0, more[1], 0, more[0]), value=-np.inf) if any(more) else x)
    if not return_indices:
        return as_given(axes, y)
    return as_given(axes, y), as_given(axes, Tensor(_places(function.argmax, x.shape[2], geometry)))


def _places(argmax: Array, width: int, geometry: PoolGeometry) -> Array:
    """The places h W + w in the image, given those in the window."""
    xp, (window, *settings) = array_module(argmax), geometry
    number = argmax.astype(np.int64)
    inside = number // window[1], number % window[1]
    rows, columns = (
        xp.arange(length, dtype=np.int64) * s - p + d * place.swapaxes(axis, 3)
        for axis, length, place, s, p, d in zip((1, 2), argmax.shape[1:3], inside, *settings, strict=True)
    )
    return rows.swapaxes(1, 3) * width + columns.swapaxes(2, 3)


def _avg_pool(
    name: str,
    axes: int,
    x: Tensor,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None = None,
) -> Tensor:
    if divisor_override is not None and divisor_override == 0:
        raise ArgumentError(f"{name}: divisor_override divides the sum, got {divisor_override}")
    x = as_images(name, axes, x)
    geometry = _geometry(name, axes, x, kernel_size, stride, padding, 1)
    factor, more = None, _beyond(x, geometry) if ceil_mode else (0, 0)
    whole = geometry.window[0] * geometry.window[1]
    size = x.shape[1:3]
    if any(more):
        x = pad(x, (0, 0, 0, more[1], 0, more[0]))
    if divisor_override is not None:
        factor = np.full((1, 1, 1), whole / divisor_override)
    elif any(more) or not (count_include_pad or geometry.padding == (0, 0)):
        rows, columns = _counts(geometry, size, geometry.out_shape(x.shape)[1:3], count_include_pad)
        factor = whole / (rows[:, None, None] * columns[:, None])
    return as_given(axes, apply(AvgPool2d(geometry, factor), x))


def _counts(
    geometry: PoolGeometry, size: tuple[int, ...], out: tuple[int, ...], with_padding: bool
) -> list[np.ndarray]:
    """For each axis how many elements each window has in the image, or in the image and its padding."""
    counts = []
    for k, s, p, _, length, places in zip(*geometry, size, out, strict=True):
        start = np.arange(places) * s - p
        first, last = (-p, length + p) if with_padding else (0, length)
        counts.append(np.minimum(start + k, last) - np.maximum(start, first))
    return counts


def as_images(name: str, axes: int, x: Tensor) -> Tensor:
    """A sequence as an image of one row.

    Raises:
        ShapeError: x has another number of axes.
    """
    x = as_tensor(x)
    if x.ndim != axes + 2:
        raise ShapeError(f"{name}: expected x {SHAPES[axes][0]}, got {x.shape}")
    return x if axes == 2 else x.reshape(x.shape[0], 1, *x.shape[1:])


def as_given(axes: int, y: Tensor) -> Tensor:
    """The sequence that an image of one row stands for."""
    return y if axes == 2 else y.reshape(y.shape[0], *y.shape[2:])


def _geometry(
    name: str, axes: int, x: Tensor, kernel_size: Any, stride: Any, padding: Any, dilation: Any
) -> PoolGeometry:
    window = sizes("kernel_size", kernel_size, axes)
    step = window if stride is None else sizes("stride", stride, axes)
    edge, apart = sizes("padding", padding, axes, 0), sizes("dilation", dilation, axes)
    if any(2 * each > length for each, length in zip(edge, window, strict=True)):
        raise ShapeError(f"{name}: padding {edge} is more than half of the window {window}")
    row = 2 - axes
    settings: tuple[Any, ...] = (1,) * row + window, (1,) * row + step, (0,) * row + edge, (1,) * row + apart
    geometry = PoolGeometry(*settings)
    if min(geometry.out_shape(x.shape)[1:3]) < 1:
        shape = as_given(axes, x).shape
        raise ShapeError(f"{name}: the window {window} does not fit into {shape} with padding {edge}")
    return geometry


def _beyond(x: Tensor, geometry: PoolGeometry) -> Pair:
    """How many rows and columns more the images need for the windows of ``ceil_mode``: those that begin in the image or
    in the padding before it."""
    more = []
    for k, s, p, d, length in zip(*geometry, x.shape[1:3], strict=True):
        reach = d * (k - 1) + 1
        windows = -(-(length + 2 * p - reach) // s) + 1
        windows -= (windows - 1) * s >= length + p
        more.append(max(0, (windows - 1) * s + reach - 2 * p - length))
    return more[0], more[1]
