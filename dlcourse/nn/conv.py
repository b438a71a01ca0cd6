"""Convolution and pooling of images (N, H, W, C) as layers."""

import math
from collections.abc import Callable
from functools import partial

from dlcourse.autograd import Parameter, Tensor
from dlcourse.backend import random
from dlcourse.backend.kernels.conv import Pair
from dlcourse.errors import ArgumentError
from dlcourse.nn.activation import ReLU
from dlcourse.nn.module import Module, runs
from dlcourse.nn.sizes import check_sizes
from dlcourse.ops.conv import conv2d, conv2d_relu, pair
from dlcourse.ops.pool import avg_pool2d, global_avg_pool2d, max_pool2d

__all__ = ["AvgPool2d", "Conv2d", "GlobalAvgPool2d", "MaxPool2d"]


class Conv2d(Module):
    """(N, H, W, in_channels) -> (N, H', W', out_channels), H' = (H + 2 padding - dilation (kh - 1) - 1) // stride + 1.

    Weight (out, kh, kw, in / groups) and bias (out,) start uniform in +-1 / sqrt(kh kw in / groups), PyTorch's default.

    ``conv(x, relu=True)`` is ``relu(conv(x))`` in one pass, which :class:`~dlcourse.nn.Sequential` makes by itself of a
    ReLU that follows; it needs a bias.

    Args:
        in_channels, out_channels: sizes of the last axis, multiples of ``groups``.
        kernel_size, stride, padding, dilation: a number for both axes or (vertical, horizontal).
        groups: channels fall into so many groups that do not see each other.
        bias: whether a bias is added.
    Example:
        >>> images = dl.tensor(np.zeros((8, 32, 32, 3), "float32"))
        >>> nn.Conv2d(3, 16, 3, padding=1)(images).shape
        (8, 32, 32, 16)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair = 0,
        dilation: int | Pair = 1,
        groups: int = 1,
        bias: bool = True,
    ):
        super().__init__()
        check_sizes("Conv2d", in_channels=in_channels, out_channels=out_channels, groups=groups)
        if in_channels < 1 or out_channels < 1 or groups < 1 or in_channels % groups or out_channels % groups:
            raise ValueError(f"Conv2d: channels are multiples of groups, got {in_channels}, {out_channels}, {groups=}")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride = pair("kernel_size", kernel_size), pair("stride", stride)
        self.padding, self.dilation = pair("padding", padding, 0), pair("dilation", dilation)
        shape = (out_channels, *self.kernel_size, in_channels // groups)
        bound = 1 / math.sqrt(math.prod(shape[1:]))
        rng = random.next_generator("init/conv")
        self.weight = Parameter(rng.uniform(-bound, bound, shape).astype("float32"))
        self.bias = Parameter(rng.uniform(-bound, bound, out_channels).astype("float32")) if bias else None

    def forward(self, x: Tensor, relu: bool = False) -> Tensor:
        settings = self.stride, self.padding, self.dilation, self.groups
        if not relu:
            return conv2d(x, self.weight, self.bias, *settings)
        if self.bias is None:
            raise ArgumentError("Conv2d: relu=True is one pass with the bias, and this layer has none")
        return conv2d_relu(x, self.weight, self.bias, *settings)

    def fused_with(self, following: Module) -> Callable[[Tensor], Tensor] | None:
        fits = self.bias is not None and runs(self, Conv2d.forward) and runs(following, ReLU.forward)
        return partial(self, relu=True) if fits else None

    def flops(self, in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> int:
        return 2 * math.prod(out_shape) * math.prod(self.weight.shape[1:])


class Pool2d(Module):
    """What both poolings share: the window, its step, and the padding."""

    def __init__(self, kernel_size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0):
        super().__init__()
        self.kernel_size, self.padding = pair("kernel_size", kernel_size), pair("padding", padding, 0)
        self.stride = self.kernel_size if stride is None else pair("stride", stride)


class MaxPool2d(Pool2d):
    """The largest element of each window; the stride is the window's size if left out."""

    def forward(self, x: Tensor) -> Tensor:
        return max_pool2d(x, self.kernel_size, self.stride, self.padding)


class AvgPool2d(Pool2d):
    """The mean of each window, padding counted as zeros; the stride is the window's size if left out."""

    def forward(self, x: Tensor) -> Tensor:
        return avg_pool2d(x, self.kernel_size, self.stride, self.padding)


class GlobalAvgPool2d(Module):
    """The mean over each whole image: (N, H, W, C) -> (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return global_avg_pool2d(x)
