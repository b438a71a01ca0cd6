"""Convolution of images (N, H, W, C): one matrix product for each tap of the kernel, and its two gradients likewise.

As in all of deep learning it is a correlation, y[p] = sum over taps t of w[t] x[s p + d t - padding]. A tap's share is
the product of a strided view of the padded input with that tap's (C / groups) x (O / groups) matrix.
"""

from collections.abc import Iterator
from typing import NamedTuple

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import activation, kernel

Pair = tuple[int, int]
"""Something of the rows, and of the columns."""


class ConvGeometry(NamedTuple):
    """How a kernel moves over images."""

    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    def out_size(self, x_shape: tuple, kernel_size: Pair) -> Pair:
        """H' and W' of the result, for images (N, H, W, C)."""
        return tuple(
            (length + 2 * p - d * (k - 1) - 1) // s + 1
            for length, k, s, p, d in zip(x_shape[1:3], kernel_size, *self[:3], strict=True)
        )


@kernel
def conv2d(x: Array, weight: Array, bias: Array | None, geometry: ConvGeometry) -> Array:
    """y (N, H', W', O) of x (N, H, W, C), weight (O, kh, kw, C / groups); H' = (H + 2p - d (kh - 1) - 1) // s + 1."""
    xp = array_module(x)
    padded = pad(x, geometry.padding)
    shape = (len(x), *geometry.out_size(x.shape, weight.shape[1:3]), len(weight))
    y = xp.zeros(shape, dtype=x.dtype)
    for i, j, view in taps(padded, shape, weight.shape[1:3], geometry.stride, geometry.dilation):
        for inputs, outputs in group_slices(x.shape[3], len(weight), geometry.groups):
            y[..., outputs] += view[..., inputs] @ weight[outputs, i, j].T
    if bias is not None:
        y += bias
    return y


@kernel
def conv2d_relu(x: Array, weight: Array, bias: Array, geometry: ConvGeometry) -> Array:
    """y = max(:func:`conv2d`, 0)."""
    return activation.relu(conv2d(x, weight, bias, geometry))


@kernel
def conv2d_input_grad(dout: Array, weight: Array, x_shape: tuple, geometry: ConvGeometry) -> Array:
    """dx (N, H, W, C): every tap sends dy w[t] back to where it read."""
    xp = array_module(dout)
    (n, h, w, channels), padding = x_shape, geometry.padding
    padded = xp.zeros((n, h + 2 * padding[0], w + 2 * padding[1], channels), dtype=dout.dtype)
    for i, j, view in taps(padded, dout.shape, weight.shape[1:3], geometry.stride, geometry.dilation):
        for inputs, outputs in group_slices(channels, len(weight), geometry.groups):
            view[..., inputs] += dout[..., outputs] @ weight[outputs, i, j]
    return padded[:, padding[0] : padding[0] + h, padding[1] : padding[1] + w]


@kernel(writes=("out",))
def conv2d_weight_grad(dout: Array, x: Array, weight_shape: tuple, geometry: ConvGeometry, out: Array | None) -> Array:
    """dw (O, kh, kw, C / groups): for every tap, dy^T times what it read; into ``out`` if given."""
    xp = array_module(dout)
    dweight = xp.empty(weight_shape, dtype=dout.dtype) if out is None else out
    rows = dout.reshape(-1, dout.shape[3])  # (N H' W', O)
    for i, j, view in taps(pad(x, geometry.padding), dout.shape, weight_shape[1:3], geometry.stride, geometry.dilation):
        columns = view.reshape(-1, x.shape[3])  # (N H' W', C)
        for inputs, outputs in group_slices(x.shape[3], weight_shape[0], geometry.groups):
            dweight[outputs, i, j] = rows[:, outputs].T @ columns[:, inputs]
    return dweight


def pad(x: Array, padding: Pair, value: float = 0.0) -> Array:
    """x with so many rows and columns of a value on each side."""
    if padding == (0, 0):
        return x
    rows, columns = padding
    xp = array_module(x)
    return xp.pad(x, ((0, 0), (rows, rows), (columns, columns), (0, 0)), constant_values=value)


def taps(
    padded: Array, out_shape: tuple, window: Pair, stride: Pair, dilation: Pair = (1, 1)
) -> Iterator[tuple[int, int, Array]]:
    """For every place (i, j) of the window the view (N, H', W', C) of what it sees as the window moves."""
    height, width = out_shape[1:3]
    for i in range(window[0]):
        top = i * dilation[0]
        for j in range(window[1]):
            left = j * dilation[1]
            rows = slice(top, top + (height - 1) * stride[0] + 1, stride[0])
            columns = slice(left, left + (width - 1) * stride[1] + 1, stride[1])
            yield i, j, padded[:, rows, columns]


def group_slices(inputs: int, outputs: int, groups: int) -> Iterator[tuple[slice, slice]]:
    """The input and output channels of each group."""
    wide, tall = inputs // groups, outputs // groups
    return ((slice(g * wide, (g + 1) * wide), slice(g * tall, (g + 1) * tall)) for g in range(groups))
