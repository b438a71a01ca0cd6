"""Pooling of images (N, H, W, C) and of sequences (N, T, C) as layers."""

from collections.abc import Callable
from typing import Any, ClassVar

from dlcourse.autograd import Tensor
from dlcourse.nn.module import Module
from dlcourse.ops.adaptive_pool import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
)
from dlcourse.ops.conv import Sizes, sizes
from dlcourse.ops.pool import avg_pool1d, avg_pool2d, global_avg_pool2d, lp_pool1d, lp_pool2d, max_pool1d, max_pool2d
from dlcourse.ops.unpool import max_unpool1d, max_unpool2d

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AvgPool1d",
    "AvgPool2d",
    "GlobalAvgPool2d",
    "LPPool1d",
    "LPPool2d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxUnpool1d",
    "MaxUnpool2d",
]


class Pool(Module):
    """What all poolings share: the window, its step, and the padding."""

    axes: ClassVar[int]

    def __init__(self, kernel_size: Any, stride: Any, padding: Any):
        super().__init__()
        self.kernel_size = sizes("kernel_size", kernel_size, self.axes)
        self.stride = self.kernel_size if stride is None else sizes("stride", stride, self.axes)
        self.padding = sizes("padding", padding, self.axes, 0)


class _MaxPool(Pool):
    """What :class:`MaxPool1d` and :class:`MaxPool2d` share."""

    function: ClassVar[Callable]

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ):
        super().__init__(kernel_size, stride, padding)
        self.dilation = sizes("dilation", dilation, self.axes)
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, x: Tensor) -> Any:
        settings = self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        return type(self).function(x, *settings)


class MaxPool2d(_MaxPool):
    """The largest element of each window of (N, H, W, C); the stride is the window's size if left out.

    Args:
        kernel_size, stride, padding, dilation: a number for both axes or (vertical, horizontal). The padding is at most
            half of the window, and never wins.
        return_indices: whether the places of the largest elements, as numbers h W + w, are given too.
        ceil_mode: whether a window that reaches over the far edge counts, if it begins inside.
    Example:
        >>> nn.MaxPool2d(2)(dl.tensor(np.arange(16.0).reshape(1, 4, 4, 1))).reshape(4).tolist()
        [5.0, 7.0, 13.0, 15.0]
    """

    axes, function = 2, max_pool2d


class MaxPool1d(_MaxPool):
    """The largest element of each window of (N, T, C); the arguments are those of :class:`MaxPool2d`, of one axis."""

    axes, function = 1, max_pool1d


class _MaxUnpool(Pool):
    """What :class:`MaxUnpool1d` and :class:`MaxUnpool2d` share."""

    function: ClassVar[Callable]

    def __init__(self, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0):
        super().__init__(kernel_size, stride, padding)

    def forward(self, x: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        """The larger images; ``output_size`` where several sizes become that of x."""
        return type(self).function(x, indices, self.kernel_size, self.stride, self.padding, output_size)


class MaxUnpool2d(_MaxUnpool):
    """The way back from :class:`MaxPool2d` with ``return_indices=True``: elements at their old places, zeros elsewhere.

    Args:
        kernel_size, stride, padding: those of the pooling.
    Example:
        >>> pool, back = nn.MaxPool2d(2, return_indices=True), nn.MaxUnpool2d(2)
        >>> back(*pool(dl.ones(4, 6, 6, 3))).shape
        (4, 6, 6, 3)
    """

    axes, function = 2, max_unpool2d


class MaxUnpool1d(_MaxUnpool):
    """The way back from :class:`MaxPool1d`, see :class:`MaxUnpool2d`."""

    axes, function = 1, max_unpool1d


class _LPPool(Module):
    """What :class:`LPPool1d` and :class:`LPPool2d` share."""

    function: ClassVar[Callable]

    def __init__(self, norm_type: float, kernel_size: Sizes, stride: Sizes | None = None, ceil_mode: bool = False):
        super().__init__()
        self.norm_type, self.kernel_size, self.stride, self.ceil_mode = norm_type, kernel_size, stride, ceil_mode

    def forward(self, x: Tensor) -> Tensor:
        return type(self).function(x, self.norm_type, self.kernel_size, self.stride, self.ceil_mode)


class LPPool2d(_LPPool):
    """(sum x^p)^(1/p) over each window of (N, H, W, C); the stride is the window's size if left out.

    Args:
        norm_type: p, not 0.
        kernel_size, stride: a number for both axes or (vertical, horizontal).
        ceil_mode: whether a window that reaches over the far edge counts, if it begins inside.
    """

    function = lp_pool2d


class LPPool1d(_LPPool):
    """(sum x^p)^(1/p) over each window of (N, T, C); the arguments are those of :class:`LPPool2d`, of one axis."""

    function = lp_pool1d


class AvgPool2d(Pool):
    """The mean of each window of (N, H, W, C); the stride is the window's size if left out.

    Args:
        kernel_size, stride, padding: a number for both axes or (vertical, horizontal). The padding is zeros.
        ceil_mode: whether a window that reaches over the far edge counts, if it begins inside.
        count_include_pad: whether padding counts in the number that the sum is divided by.
        divisor_override: divides the sum instead.
    """

    axes = 2

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ):
        super().__init__(kernel_size, stride, padding)
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad
        self.divisor_override = divisor_override

    def forward(self, x: Tensor) -> Tensor:
        settings = self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        return avg_pool2d(x, *settings, self.divisor_override)


class AvgPool1d(Pool):
    """The mean of each window of (N, T, C); the arguments are those of :class:`AvgPool2d`, of one axis."""

    axes = 1

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ):
        super().__init__(kernel_size, stride, padding)
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, x: Tensor) -> Tensor:
        return avg_pool1d(x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)


class GlobalAvgPool2d(Module):
    """The mean over each whole image: (N, H, W, C) -> (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return global_avg_pool2d(x)


class AdaptivePool(Module):
    """What adaptive poolings share.

    Args:
        output_size: the size of the output, a number for all axes or one for each; None leaves an axis as it is.
    """

    def __init__(self, output_size: Any):
        super().__init__()
        self.output_size = output_size


class AdaptiveAvgPool2d(AdaptivePool):
    """The mean of each of H' x W' cells that cover the image: (N, H, W, C) -> (N, H', W', C). Cell i has the rows from
    floor(i H / H') up to ceil((i + 1) H / H'), columns likewise; see :class:`AdaptivePool`.

    Example:
        >>> nn.AdaptiveAvgPool2d(1)(dl.tensor(np.ones((2, 5, 7, 3), "float32"))).shape
        (2, 1, 1, 3)
    """

    def forward(self, x: Tensor) -> Tensor:
        return adaptive_avg_pool2d(x, self.output_size)


class AdaptiveAvgPool1d(AdaptivePool):
    """The mean of each of T' cells that cover the sequence: (N, T, C) -> (N, T', C), see :class:`AdaptiveAvgPool2d`."""

    def forward(self, x: Tensor) -> Tensor:
        return adaptive_avg_pool1d(x, self.output_size)


class AdaptiveMaxPool2d(AdaptivePool):
    """The largest element of each cell of :class:`AdaptiveAvgPool2d`.

    Args:
        output_size: (H', W'), or a number for both; None leaves an axis as it is.
        return_indices: whether the places of the largest elements, as numbers h W + w, are given too.
    """

    def __init__(self, output_size: Any, return_indices: bool = False):
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, x: Tensor) -> Any:
        return adaptive_max_pool2d(x, self.output_size, self.return_indices)


class AdaptiveMaxPool1d(AdaptivePool):
    """The largest element of each cell of :class:`AdaptiveAvgPool1d`; the arguments are those of
    :class:`AdaptiveMaxPool2d`."""

    def __init__(self, output_size: Any, return_indices: bool = False):
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, x: Tensor) -> Any:
        return adaptive_max_pool1d(x, self.output_size, self.return_indices)
