"""Convolution of images (N, H, W, C): one matrix product for each tap of the kernel, and its two gradients likewise.

As in all of deep learning it is a correlation, y[p] = sum over taps t of w[t] x[s p + d t - padding]. A tap's share is
the product of a strided view of the padded input with that tap's (C / groups) x (O / groups) matrix.
"""

from collections.abc import Iterator

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import activation, kernel

Pair = tuple[int, int]


@kernel
def conv2d(
    x: Array, weight: Array, bias: Array | None, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Array:
    """y (N, H', W', O) of x (N, H, W, C), weight (O, kh, kw, C / groups); H' = (H + 2p - d (kh - 1) - 1) // s + 1."""
    xp = array_module(x)
    padded = pad(x, padding)
    shape = (len(x), *out_size(x.shape, weight.shape[1:3], stride, padding, dilation), len(weight))
    y = xp.zeros(shape, dtype=x.dtype)
    for i, j, view in taps(padded, shape, weight.shape[1:3], stride, dilation):
        for inputs, outputs in group_slices(x.shape[3], len(weight), groups):
            y[..., outputs] += view[..., inputs] @ weight[outputs, i, j].T
    if bias is not None:
        y += bias
    return y


@kernel
def conv2d_relu(
    x: Array, weight: Array, bias: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Array:
    """y = max(:func:`conv2d`, 0)."""
    return activation.relu.reference(conv2d.reference(x, weight, bias, stride, padding, dilation, groups))


@kernel
def conv2d_input_grad(
    dout: Array, weight: Array, x_shape: tuple, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Array:
    """dx (N, H, W, C): every tap sends dy w[t] back to where it read."""
    xp = array_module(dout)
    n, h, w, channels = x_shape
    padded = xp.zeros((n, h + 2 * padding[0], w + 2 * padding[1], channels), dtype=dout.dtype)
    for i, j, view in taps(padded, dout.shape, weight.shape[1:3], stride, dilation):
        for inputs, outputs in group_slices(channels, len(weight), groups):
            view[..., inputs] += dout[..., outputs] @ weight[outputs, i, j]
    return padded[:, padding[0] : padding[0] + h, padding[1] : padding[1] + w]


@kernel
def conv2d_weight_grad(
    dout: Array, x: Array, weight_shape: tuple, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Array:
    """dw (O, kh, kw, C / groups): for every tap, dy^T times what it read."""
    xp = array_module(dout)
    dweight = xp.empty(weight_shape, dtype=dout.dtype)
    rows = dout.reshape(-1, dout.shape[3])  # (N H' W', O)
    for i, j, view in taps(pad(x, padding), dout.shape, weight_shape[1:3], stride, dilation):
        columns = view.reshape(-1, x.shape[3])  # (N H' W', C)
        for inputs, outputs in group_slices(x.shape[3], weight_shape[0], groups):
            dweight[outputs, i, j] = rows[:, outputs].T @ columns[:, inputs]
    return dweight


def out_size(x_shape: tuple, window: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Pair:
    """Height and width that a window's steps over (N, H, W, C) give."""
    return tuple(
        (x_shape[axis + 1] + 2 * padding[axis] - dilation[axis] * (window[axis] - 1) - 1) // stride[axis] + 1
        for axis in (0, 1)
    )


def pad(x: Array, padding: Pair, value: float = 0.0) -> Array:
    """x with so many rows and columns of a value on each side."""
    if padding == (0, 0):
        return x
    rows, columns = padding
    xp = array_module(x)
    return xp.pad(x, ((0, 0), (rows, rows), (columns, columns), (0, 0)), constant_values=value)


def taps(
    padded: Array, out_shape: tuple, window: Pair, stride: Pair, dilation: Pair
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
