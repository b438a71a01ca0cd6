"""Pooling of images (N, H, W, C) as layers."""

from dlcourse.autograd import Tensor
from dlcourse.backend.kernels.conv import Pair
from dlcourse.nn.module import Module
from dlcourse.ops.conv import pair
from dlcourse.ops.pool import avg_pool2d, global_avg_pool2d, max_pool2d

__all__ = ["AvgPool2d", "GlobalAvgPool2d", "MaxPool2d"]


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
