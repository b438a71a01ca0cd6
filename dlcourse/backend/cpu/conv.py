"""Convolution: by oneDNN where it is there, else by matrix products on tiles of patches that stay in the cache."""

from collections.abc import Callable
from typing import Any

from dlcourse.backend.cpu import conv_onednn, conv_tiles
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import activation, override
from dlcourse.backend.kernels import conv as kernels

Pair = tuple[int, int]


@override(kernels.conv2d, "cpu")
def conv2d(
    x: Array, weight: Array, bias: Array | None, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Array:
    ways = conv_onednn.forward, conv_tiles.forward, kernels.conv2d.reference
    return _first(ways, x, weight, bias, stride, padding, dilation, groups)


@override(kernels.conv2d_relu, "cpu")
def conv2d_relu(
    x: Array, weight: Array, bias: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Array:
    return activation.relu(conv2d(x, weight, bias, stride, padding, dilation, groups))


@override(kernels.conv2d_input_grad, "cpu")
def conv2d_input_grad(
    dout: Array, weight: Array, x_shape: tuple, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Array:
    ways = conv_onednn.input_grad, conv_tiles.input_grad, kernels.conv2d_input_grad.reference
    return _first(ways, dout, weight, x_shape, stride, padding, dilation, groups)


@override(kernels.conv2d_weight_grad, "cpu")
def conv2d_weight_grad(
    dout: Array, x: Array, weight_shape: tuple, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Array:
    ways = conv_onednn.weight_grad, conv_tiles.weight_grad, kernels.conv2d_weight_grad.reference
    return _first(ways, dout, x, weight_shape, stride, padding, dilation, groups)


def _first(ways: tuple[Callable[..., Array | None], ...], *arguments: Any) -> Array:
    """What the first way gives that takes these arguments; one that does not gives None, the reference takes all."""
    return next(result for way in ways if (result := way(*arguments)) is not None)
