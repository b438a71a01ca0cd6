"""Convolution of images (N, H, W, C) and of sequences (N, T, C) as layers."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, Literal, get_args

from dlcourse.autograd import Parameter, Tensor
from dlcourse.backend import random
from dlcourse.errors import ArgumentError, ShapeError
from dlcourse.nn.activation import ReLU
from dlcourse.nn.module import Module, runs
from dlcourse.nn.sizes import check_sizes
from dlcourse.ops.conv import Padding, Sizes, conv1d, conv1d_relu, conv2d, conv2d_relu, sizes
from dlcourse.ops.conv_transpose import conv_transpose1d, conv_transpose2d
from dlcourse.ops.pad import pad

__all__ = ["Conv1d", "Conv2d", "ConvTranspose1d", "ConvTranspose2d"]

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]


class Convolution(Module):
    """What all convolutions share: sizes, the weight and the bias, both uniform in +-1 / sqrt(the weight's size over
    its first axis), PyTorch's default."""

    axes: ClassVar[int]
    """How many axes the kernel moves along."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any,
        dilation: Any,
        groups: int,
        bias: bool,
        transposed: bool = False,
    ):
        super().__init__()
        name = type(self).__name__
        check_sizes(name, in_channels=in_channels, out_channels=out_channels, groups=groups)
        if in_channels < 1 or out_channels < 1 or groups < 1 or in_channels % groups or out_channels % groups:
            raise ValueError(f"{name}: channels are multiples of groups, got {in_channels}, {out_channels}, {groups=}")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = sizes("kernel_size", kernel_size, self.axes)
        self.stride, self.dilation = sizes("stride", stride, self.axes), sizes("dilation", dilation, self.axes)
        first, last = (in_channels, out_channels) if transposed else (out_channels, in_channels)
        shape = (first, *self.kernel_size, last // groups)
        bound = 1 / math.sqrt(math.prod(shape[1:]))
        rng = random.next_generator("init/conv")
        self.weight = Parameter(rng.uniform(-bound, bound, shape).astype("float32"))
        self.bias = Parameter(rng.uniform(-bound, bound, out_channels).astype("float32")) if bias else None

    def torch_axis(self, name: str) -> int:
        return 1 if name == "weight" else -1


class _Conv(Convolution):
    """What :class:`Conv1d` and :class:`Conv2d` share."""

    function: ClassVar[Callable]
    fused: ClassVar[Callable]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes | Padding = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
    ):
        super().__init__(in_channels, out_channels, kernel_size, stride, dilation, groups, bias)
        if padding_mode not in get_args(PaddingMode):
            known = ", ".join(get_args(PaddingMode))
            raise ArgumentError(f"{type(self).__name__}: padding_mode is one of {known}, got {padding_mode!r}")
        self.padding = padding if isinstance(padding, str) else sizes("padding", padding, self.axes, 0)
        if isinstance(padding, str) and (
            padding not in get_args(Padding) or padding == "same" and max(self.stride) > 1
        ):
            raise ArgumentError(
                f"{type(self).__name__}: padding is numbers, 'valid', or with stride 1 'same', got {padding!r} with "
                f"stride {self.stride}"
            )
        self.padding_mode = padding_mode

    def forward(self, x: Tensor, relu: bool = False) -> Tensor:
        padding: Any = self.padding
        if self.padding_mode != "zeros" and padding != "valid":
            x, padding = pad(x, (0, 0, *self._widths()), self.padding_mode), 0
        settings = self.stride, padding, self.dilation, self.groups
        if not relu:
            return type(self).function(x, self.weight, self.bias, *settings)
        if self.bias is None:
            name = type(self).__name__
            raise ArgumentError(f"{name}: relu=True is one pass with the bias, and this layer has none")
        return type(self).fused(x, self.weight, self.bias, *settings)

    def _widths(self) -> list[int]:
        """The padding before and after along each axis, the last one first."""
        if not isinstance(self.padding, str):
            return [width for width in reversed(self.padding) for _ in range(2)]
        reach = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
        return [width for length in reversed(reach) for width in (length // 2, length - length // 2)]

    def fused_with(self, following: Module) -> Callable[[Tensor], Tensor] | None:
        fits = self.bias is not None and runs(self, _Conv.forward) and runs(following, ReLU.forward)
        return partial(self, relu=True) if fits else None

    def flops(self, in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> int:
        return 2 * math.prod(out_shape) * math.prod(self.weight.shape[1:])


class Conv2d(_Conv):
    """(N, H, W, in_channels) -> (N, H', W', out_channels), H' = (H + 2 padding - dilation (kh - 1) - 1) // stride + 1.

    Weight (out, kh, kw, in / groups) and bias (out,) start uniform in +-1 / sqrt(kh kw in / groups), PyTorch's default.

    ``conv(x, relu=True)`` is ``relu(conv(x))`` in one pass, which :class:`~dlcourse.nn.Sequential` makes by itself of a
    ReLU that follows; it needs a bias.

    Args:
        in_channels, out_channels: sizes of the last axis, multiples of ``groups``.
        kernel_size, stride, dilation: a number for both axes or (vertical, horizontal).
        padding: likewise; "valid" is none, "same" keeps the size at stride 1.
        groups: channels fall into so many groups that do not see each other; with ``in_channels`` it is depthwise.
        bias: whether a bias is added.
        padding_mode: "zeros", or with what is inside: "reflect", "replicate", "circular", see ``F.pad``.
    Example:
        >>> images = dl.tensor(np.zeros((8, 32, 32, 3), "float32"))
        >>> nn.Conv2d(3, 16, 3, padding=1)(images).shape
        (8, 32, 32, 16)
    """

    axes, function, fused = 2, conv2d, conv2d_relu


class Conv1d(_Conv):
    """(N, T, in_channels) -> (N, T', out_channels), T' = (T + 2 padding - dilation (k - 1) - 1) // stride + 1.

    The convolution of a sequence, channels last; weight (out, k, in / groups). Everything else is as for
    :class:`Conv2d`, of one axis.

    Example:
        >>> nn.Conv1d(3, 16, 5, padding="same", dilation=2)(dl.tensor(np.zeros((8, 100, 3), "float32"))).shape
        (8, 100, 16)
    """

    axes, function, fused = 1, conv1d, conv1d_relu


class _ConvTranspose(Convolution):
    """What :class:`ConvTranspose1d` and :class:`ConvTranspose2d` share."""

    function: ClassVar[Callable]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes = 0,
        output_padding: Sizes = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Sizes = 1,
    ):
        super().__init__(in_channels, out_channels, kernel_size, stride, dilation, groups, bias, transposed=True)
        self.padding = sizes("padding", padding, self.axes, 0)
        self.output_padding = sizes("output_padding", output_padding, self.axes, 0)
        limits = zip(self.output_padding, self.stride, self.dilation, strict=True)
        if any(more >= max(stride, dilation) for more, stride, dilation in limits):
            raise ArgumentError(
                f"{type(self).__name__}: output_padding is smaller than the stride or the dilation, got "
                f"{self.output_padding}, stride {self.stride}, dilation {self.dilation}"
            )

    def forward(self, x: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        more = self.output_padding if output_size is None else self._missing(x.shape, output_size)
        settings = self.stride, self.padding, more, self.groups, self.dilation
        return type(self).function(x, self.weight, self.bias, *settings)

    def _missing(self, x_shape: tuple[int, ...], wanted: Sequence[int]) -> tuple[int, ...]:
        """The output padding that makes the output so large: its positions, or its whole shape."""
        positions = tuple(wanted)[1:-1] if len(wanted) == self.axes + 2 else tuple(wanted)
        smallest = [
            (length - 1) * s - 2 * p + d * (k - 1) + 1
            for length, s, p, d, k in zip(
                x_shape[1:-1], self.stride, self.padding, self.dilation, self.kernel_size, strict=True
            )
        ]
        if len(positions) != self.axes or not all(
            low <= size < low + s for size, low, s in zip(positions, smallest, self.stride, strict=True)
        ):
            largest = [low + s - 1 for low, s in zip(smallest, self.stride, strict=True)]
            raise ShapeError(
                f"{type(self).__name__}: output_size is between {smallest} and {largest}, got {tuple(wanted)}"
            )
        return tuple(size - low for size, low in zip(positions, smallest, strict=True))

    def flops(self, in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> int:
        return 2 * math.prod(in_shape) * math.prod(self.weight.shape[1:])


class ConvTranspose2d(_ConvTranspose):
    """(N, H, W, in_channels) -> (N, H', W', out_channels),
    H' = (H - 1) stride - 2 padding + dilation (kh - 1) + output_padding + 1.

    Makes images larger by learned weights: the transposed map of a :class:`Conv2d` with the same settings. Weight
    (in, kh, kw, out / groups) and bias (out,) start uniform in +-1 / sqrt(kh kw out / groups), PyTorch's default.

    Args:
        in_channels, out_channels: sizes of the last axis, multiples of ``groups``.
        kernel_size, stride, padding, dilation: a number for both axes or (vertical, horizontal).
        output_padding: rows and columns more at the end, fewer than the stride: several input sizes of a convolution
            have the same output size, and this says which one is meant. So does ``layer(x, output_size=(H', W'))``.
        groups: channels fall into so many groups that do not see each other.
        bias: whether a bias is added.
    Example:
        >>> nn.ConvTranspose2d(16, 8, 2, stride=2)(dl.tensor(np.zeros((4, 7, 7, 16), "float32"))).shape
        (4, 14, 14, 8)
    """

    axes, function = 2, conv_transpose2d


class ConvTranspose1d(_ConvTranspose):
    """(N, T, in_channels) -> (N, T', out_channels), T' = (T - 1) stride - 2 padding + dilation (k - 1)
    + output_padding + 1: :class:`ConvTranspose2d` of one axis, with weight (in, k, out / groups)."""

    axes, function = 1, conv_transpose1d
