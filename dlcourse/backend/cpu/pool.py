"""Pooling, a few images at a time so that all passes stay in the cache."""

import math
from collections.abc import Callable

import numpy as np

from dlcourse.backend.cpu import threads
from dlcourse.backend.cpu.finite import finite
from dlcourse.backend.cpu.memory import scratch
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import override
from dlcourse.backend.kernels import pool as kernels
from dlcourse.backend.kernels.conv import pad, taps
from dlcourse.backend.kernels.pool import PoolGeometry

BLOCK_BYTES = 1 << 18
LARGE = 64
"""Elements of a window from which two steps are faster than one pass for each; oneDNN has what is smaller, or all."""


@override(kernels.max_pool2d, "cpu")
def max_pool2d(x: Array, geometry: PoolGeometry) -> tuple[Array, Array]:
    shape, (window, stride, padding, dilation) = geometry.out_shape(x.shape), geometry
    kind = np.dtype(np.uint8 if math.prod(window) <= 256 else np.int32)
    if math.prod(window) >= LARGE and min(window) > 1:
        return _in_two_steps(x, geometry, kind)
    y, argmax = np.empty(shape, dtype=x.dtype), np.empty(shape, dtype=kind)

    def find(part: slice) -> None:
        top, at = y[part], argmax[part]
        larger, step = scratch("pool", top.shape, np.dtype(bool)), scratch("pool-step", top.shape, kind)
        views = taps(pad(x[part], padding, -np.inf), top.shape, window, stride, dilation)
        for number, (_, _, view) in enumerate(views):
            if number == 0:
                top[...] = view
                at.fill(0)
                continue
            # Where this place holds more than all before, its number takes over: at = max(at, number if larger), for
            # numbers only grow.
            np.greater(view, top, out=larger)
            np.multiply(larger, kind.type(number), out=step)
            np.maximum(at, step, out=at)
            np.maximum(top, view, out=top)
        if not finite(top):  # NaN and windows of -inf have rules of their own
            top[...], at[...] = kernels.max_pool2d.reference(x[part], geometry)

    _by_images(find, x, blas=True)
    return y, argmax


def _in_two_steps(x: Array, geometry: PoolGeometry, kind: np.dtype) -> tuple[Array, Array]:
    """The largest of each row of a window first, then of these: the sum of the window's sides in passes, not their
    product."""
    window, stride, padding, dilation = geometry
    across = PoolGeometry((1, window[1]), (1, stride[1]), (0, padding[1]), (1, dilation[1]))
    down = PoolGeometry((window[0], 1), (stride[0], 1), (padding[0], 0), (dilation[0], 1))
    of_rows, columns = kernels.max_pool2d(x, across)
    y, rows = kernels.max_pool2d(of_rows, down)
    first = np.arange(y.shape[1]).reshape(-1, 1, 1) * stride[0] - padding[0]
    columns = np.take_along_axis(columns, first + rows.astype(np.int64) * dilation[0], axis=1)
    return y, (rows.astype(np.int32) * window[1] + columns).astype(kind)


@override(kernels.max_pool2d_grad, "cpu")
def max_pool2d_grad(dout: Array, argmax: Array, x_shape: tuple, geometry: PoolGeometry) -> Array:
    if math.prod(geometry.window) >= LARGE:
        return _to_places(dout, argmax, x_shape, geometry)
    incoming, bits = np.ascontiguousarray(dout), f"i{dout.itemsize}"

    def spread(number: int, part: slice, share: Array) -> Array:
        chosen = scratch("pool", share.shape, np.dtype(bool))
        np.equal(argmax[part], number, out=chosen)
        # As whole numbers, whose product with 0 is 0: an infinite dy stays at its place.
        np.multiply(incoming[part].view(bits), chosen, out=share.view(bits))
        return share

    return _spread(spread, dout, x_shape, geometry)


def _to_places(dout: Array, argmax: Array, x_shape: tuple, geometry: PoolGeometry) -> Array:
    """dx, each number of dy added at its place."""
    window, stride, padding, dilation = geometry
    inside = np.divmod(argmax.astype(np.int64), window[1])
    rows, columns = (
        np.arange(argmax.shape[axis + 1]).reshape(sides) * stride[axis] - padding[axis] + inside[axis] * dilation[axis]
        for axis, sides in enumerate(((-1, 1, 1), (-1, 1)))
    )
    n, h, w, c = x_shape
    images = np.arange(n).reshape(-1, 1, 1, 1)
    dx = np.zeros(n * h * w * c, dtype=dout.dtype)
    np.add.at(dx, (((images * h + rows) * w + columns) * c + np.arange(c)).reshape(-1), dout.reshape(-1))
    return dx.reshape(x_shape)


@override(kernels.avg_pool2d, "cpu")
def avg_pool2d(x: Array, geometry: PoolGeometry) -> Array:
    shape, (window, stride, padding, _) = geometry.out_shape(x.shape), geometry
    y = np.empty(shape, dtype=x.dtype)

    def mean(part: slice) -> None:
        total = y[part]
        for number, (_, _, view) in enumerate(taps(pad(x[part], padding), total.shape, window, stride)):
            if number:
                total += view
            else:
                total[...] = view
        total *= 1 / math.prod(window)

    _by_images(mean, x)
    return y


@override(kernels.avg_pool2d_grad, "cpu")
def avg_pool2d_grad(dout: Array, x_shape: tuple, geometry: PoolGeometry) -> Array:
    def spread(number: int, part: slice, share: Array) -> Array:
        return np.multiply(dout[part], 1 / math.prod(geometry.window), out=share) if number == 0 else share

    return _spread(spread, dout, x_shape, geometry)


def _spread(shares: Callable, dout: Array, x_shape: tuple, geometry: PoolGeometry) -> Array:
    """dx: each place of the windows gets what ``shares(its number, images, buffer)`` gives."""
    (_, h, w, channels), (window, stride, padding, dilation) = x_shape, geometry
    dx = np.empty(x_shape, dtype=dout.dtype)
    # Windows side by side that cover everything write each element once; else shares are added up, from zeros.
    once = (
        window == stride
        and dilation == (1, 1)
        and padding == (0, 0)
        and (h, w) == tuple(size * s for size, s in zip(dout.shape[1:3], stride, strict=True))
    )

    def work(part: slice) -> None:
        target = dx[part]
        if not once:
            wide = (len(target), h + 2 * padding[0], w + 2 * padding[1], channels)
            target = scratch("pool-padded", wide, dout.dtype) if padding != (0, 0) else target
            target.fill(0)
        share = scratch("pool-share", dout[part].shape, dout.dtype)
        for number, (_, _, view) in enumerate(taps(target, dout[part].shape, window, stride, dilation)):
            if once:
                view[...] = shares(number, part, share)
            else:
                view += shares(number, part, share)
        if padding != (0, 0):
            dx[part] = target[:, padding[0] : padding[0] + h, padding[1] : padding[1] + w]

    _by_images(work, dx)
    return dx


def _by_images(work: Callable[[slice], None], x: Array, blas: bool = False) -> None:
    each = max(1, x.itemsize * math.prod(x.shape[1:]))
    threads.run(work, threads.slices(len(x), max(1, BLOCK_BYTES // each)), blas=blas)
