"""Adaptive pooling: the size of the output is given, and the windows follow."""

from typing import Any

import numpy as np

from dlcourse.autograd import Function, Tensor, apply
from dlcourse.backend import array_module
from dlcourse.backend.device import Array
from dlcourse.backend.kernels.constants import constant
from dlcourse.backend.kernels.pool import PoolGeometry
from dlcourse.backend.kernels.pool import max_pool2d as max_pool
from dlcourse.backend.kernels.scatter import scatter_add
from dlcourse.errors import ArgumentError, ShapeError
from dlcourse.ops.conv import sizes
from dlcourse.ops.pool import as_given, as_images, avg_pool2d, max_pool2d
from dlcourse.ops.resample import Resample, cell_bounds, cells

__all__ = ["adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_max_pool1d", "adaptive_max_pool2d"]


class AdaptiveMaxPool2d(Function):
    """y[i, j] = max of x over the cell of rows floor(i H / H') up to ceil((i + 1) H / H'), columns likewise; dx gets dy
    at the cell's first largest element. Cells may overlap by a row or a column."""

    refuses_whole = True

    def __init__(self, size: tuple[int, int]):
        self.size = size

    def forward(self, x: Array) -> Array:
        xp, (_, h, w, _) = array_module(x), x.shape
        self.shape = x.shape
        rows, columns = (_places(length, to) for length, to in zip((h, w), self.size, strict=True))
        # With as many elements in each cell, the last one of a smaller cell again, the cells are windows side by side.
        for axis, places in ((2, columns), (1, rows)):
            x = xp.take(x, constant(places.reshape(-1), x), axis=axis)
        window = rows.shape[1], columns.shape[1]
        y, number = max_pool(x, PoolGeometry(window, window))
        # The place of element k of window (i, j) in the image stands at (i W' + j) kh kw + k of this table.
        table = rows[:, None, :, None] * w + columns[:, None, :]
        first = np.arange(0, table.size, window[0] * window[1]).reshape(*self.size, 1)
        self.place = constant(table.reshape(-1), x)[constant(first, x) + number]
        return y

    def backward(self, dout: Array) -> Array:
        xp, (n, h, w, c) = array_module(dout), self.shape
        index = xp.arange(n)[:, None, None, None], self.place, xp.arange(c)
        return scatter_add(dout, index, (n, h * w, c)).reshape(self.shape)


def _places(length: int, to: int) -> np.ndarray:
    """The elements of each cell, (out, the largest cell's); of a smaller one the last again."""
    start, end = cell_bounds(length, to)
    return np.minimum(start[:, None] + np.arange((end - start).max()), end[:, None] - 1)


def adaptive_avg_pool2d(x: Tensor, output_size: Any) -> Tensor:
    """The mean of each of H' x W' cells that cover the image; as ``torch.nn.functional.adaptive_avg_pool2d``, channels
    last.

    Args:
        x: (N, H, W, C).
        output_size: (H', W'), or a number for both; None leaves an axis as it is.
    Raises:
        ShapeError: x is no batch of images, or has no pixels.
        ArgumentError: the size is no whole number of at least 1.
    """
    return _average("adaptive_avg_pool2d", 2, x, output_size)


def adaptive_avg_pool1d(x: Tensor, output_size: Any) -> Tensor:
    """The mean of each of T' cells that cover the sequence (N, T, C), see :func:`adaptive_avg_pool2d`."""
    return _average("adaptive_avg_pool1d", 1, x, output_size)


def adaptive_max_pool2d(x: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest element of each of H' x W' cells that cover the image; as
    ``torch.nn.functional.adaptive_max_pool2d``, channels last. See :func:`adaptive_avg_pool2d`; with
    ``return_indices`` the places of the largest elements too, as numbers h W + w."""
    return _maximum("adaptive_max_pool2d", 2, x, output_size, return_indices)


def adaptive_max_pool1d(x: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest element of each of T' cells that cover the sequence (N, T, C), see :func:`adaptive_max_pool2d`."""
    return _maximum("adaptive_max_pool1d", 1, x, output_size, return_indices)


def _average(name: str, axes: int, x: Tensor, output_size: Any) -> Tensor:
    x, size, window = _settled(name, axes, x, output_size)
    if size == (1, 1):
        return as_given(axes, x.mean(axis=(1, 2), keepdims=True))
    if window is not None:
        return as_given(axes, avg_pool2d(x, window))
    taps = [None if to == length else cells(length, to) for length, to in zip(x.shape[1:3], size, strict=True)]
    return as_given(axes, apply(Resample(taps), x))


def _maximum(name: str, axes: int, x: Tensor, output_size: Any, return_indices: bool) -> Any:
    x, size, window = _settled(name, axes, x, output_size)
    if window is not None:
        found = max_pool2d(x, window, return_indices=return_indices)
        return tuple(as_given(axes, each) for each in found) if return_indices else as_given(axes, found)
    function = AdaptiveMaxPool2d(size)
    y = as_given(axes, apply(function, x))
    return (y, as_given(axes, Tensor(function.place))) if return_indices else y


def _settled(
    name: str, axes: int, x: Tensor, output_size: Any
) -> tuple[Tensor, tuple[int, int], tuple[int, int] | None]:
    """The images, the size of the output, and the window where all cells have the same and none overlap."""
    x = as_images(name, axes, x)
    given = list(output_size) if isinstance(output_size, tuple | list) else [output_size] * axes
    own = x.shape[3 - axes : 3]
    if len(given) != axes:
        raise ArgumentError(f"{name}: output_size is one number or {axes}, got {output_size!r}")
    wanted = sizes("output_size", [own[i] if each is None else each for i, each in enumerate(given)], axes)
    height, width = (1,) * (2 - axes) + wanted
    if min(x.shape[1:3]) < 1:
        raise ShapeError(f"{name}: expected at least one position, got {x.shape}")
    even = x.shape[1] % height == 0 and x.shape[2] % width == 0
    return x, (height, width), (x.shape[1] // height, x.shape[2] // width) if even else None
