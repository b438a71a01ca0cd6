"""Images and sequences of another size as layers."""

from collections.abc import Sequence
from typing import Any

from dlcourse.autograd import Tensor
from dlcourse.nn.module import Module
from dlcourse.ops.rearrange import fold, pixel_shuffle, pixel_unshuffle, unfold
from dlcourse.ops.resample import Mode, interpolate

__all__ = ["Fold", "PixelShuffle", "PixelUnshuffle", "Unfold", "Upsample"]


class Upsample(Module):
    """Images (N, H, W, C) or sequences (N, T, C) of another size, see ``F.interpolate``.

    Args:
        size: of the output, a number for all axes or one for each; or
        scale_factor: how many times larger it is, likewise.
        mode: "nearest", "linear" (sequences), "bilinear" or "bicubic" (images).
        align_corners: whether the centers of the corners stay where they are.
        recompute_scale_factor: whether the scale is that of the sizes, not ``scale_factor`` as it was given.
    Example:
        >>> nn.Upsample(scale_factor=2)(dl.tensor(np.ones((1, 4, 4, 3), "float32"))).shape
        (1, 8, 8, 3)
    """

    def __init__(
        self,
        size: int | Sequence[int] | None = None,
        scale_factor: float | Sequence[float] | None = None,
        mode: Mode = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ):
        super().__init__()
        self.size, self.scale_factor, self.mode = size, scale_factor, mode
        self.align_corners, self.recompute_scale_factor = align_corners, recompute_scale_factor

    def forward(self, x: Tensor) -> Tensor:
        settings = self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor
        return interpolate(x, *settings)


class PixelShuffle(Module):
    """Blocks of r x r pixels from r^2 channels: (N, H, W, C r^2) -> (N, H r, W r, C). (Shi et al. 2016.)

    Args:
        upscale_factor: r.
    """

    def __init__(self, upscale_factor: int):
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, x: Tensor) -> Tensor:
        return pixel_shuffle(x, self.upscale_factor)


class PixelUnshuffle(Module):
    """r^2 channels from blocks of r x r pixels: (N, H r, W r, C) -> (N, H, W, C r^2).

    Args:
        downscale_factor: r.
    """

    def __init__(self, downscale_factor: int):
        super().__init__()
        self.downscale_factor = downscale_factor

    def forward(self, x: Tensor) -> Tensor:
        return pixel_unshuffle(x, self.downscale_factor)


class Unfold(Module):
    """The patches that a kernel sees: (N, H, W, C) -> (N, H' W', C kh kw), see ``F.unfold``.

    Args:
        kernel_size, dilation, padding, stride: a number for both axes or (vertical, horizontal).
    """

    def __init__(self, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1):
        super().__init__()
        self.kernel_size, self.dilation, self.padding, self.stride = kernel_size, dilation, padding, stride

    def forward(self, x: Tensor) -> Tensor:
        return unfold(x, self.kernel_size, self.dilation, self.padding, self.stride)


class Fold(Module):
    """Images from patches, which add up where they overlap: (N, H' W', C kh kw) -> (N, H, W, C), see ``F.fold``.

    Args:
        output_size: (H, W).
        kernel_size, dilation, padding, stride: a number for both axes or (vertical, horizontal).
    """

    def __init__(self, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1):
        super().__init__()
        self.output_size, self.kernel_size = output_size, kernel_size
        self.dilation, self.padding, self.stride = dilation, padding, stride

    def forward(self, x: Tensor) -> Tensor:
        return fold(x, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)
