"""Convolution: by oneDNN where it is there, else by matrix products on tiles of patches that stay in the cache."""

from dlcourse.backend.cpu import conv_onednn, conv_tiles
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import conv as kernels
from dlcourse.backend.kernels import override

Pair = tuple[int, int]


@override(kernels.conv2d, "cpu")
def conv2d(
    x: Array, weight: Array, bias: Array | None, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Array:
    settings = stride, padding, dilation, groups
    y = conv_onednn.forward(x, weight, bias, *settings)
    if y is None:
        y = conv_tiles.forward(x, weight, bias, *settings)
    return kernels.conv2d.reference(x, weight, bias, *settings) if y is None else y


@override(kernels.conv2d_input_grad, "cpu")
def conv2d_input_grad(
    dout: Array, weight: Array, x_shape: tuple, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Array:
    settings = stride, padding, dilation, groups
    dx = conv_onednn.input_grad(dout, weight, x_shape, *settings)
    if dx is None:
        dx = conv_tiles.input_grad(dout, weight, x_shape, *settings)
    return kernels.conv2d_input_grad.reference(dout, weight, x_shape, *settings) if dx is None else dx


@override(kernels.conv2d_weight_grad, "cpu")
def conv2d_weight_grad(
    dout: Array, x: Array, weight_shape: tuple, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Array:
    settings = stride, padding, dilation, groups
    dweight = conv_onednn.weight_grad(dout, x, weight_shape, *settings)
    if dweight is None:
        dweight = conv_tiles.weight_grad(dout, x, weight_shape, *settings)
    return kernels.conv2d_weight_grad.reference(dout, x, weight_shape, *settings) if dweight is None else dweight
