"""Elements of images in another order: pixels from channels and back, patches from images and back."""

import math
from typing import Any

from dlcourse.autograd import Function, Tensor, apply, as_tensor
from dlcourse.backend import array_module
from dlcourse.backend.device import Array
from dlcourse.backend.kernels.conv import ConvGeometry, taps
from dlcourse.backend.kernels.conv import pad as padded
from dlcourse.errors import ArgumentError, ShapeError
from dlcourse.ops.conv import Sizes, sizes

__all__ = ["fold", "pixel_shuffle", "pixel_unshuffle", "unfold"]


def pixel_shuffle(x: Tensor, upscale_factor: int) -> Tensor:
    """Blocks of r x r pixels from r^2 channels: (..., H, W, C r^2) -> (..., H r, W r, C); as
    ``torch.nn.functional.pixel_shuffle``, channels last.

    y[.., h r + i, w r + j, c] = x[.., h, w, (c r + i) r + j]; dx is the same way back. (Shi et al. 2016.)

    Raises:
        ShapeError: x has fewer than three axes, or its channels are no multiple of r^2.
    """
    x, r = as_tensor(x), _factor("pixel_shuffle", "upscale_factor", upscale_factor)
    if x.ndim < 3 or x.shape[-1] % (r * r):
        raise ShapeError(f"pixel_shuffle: expected x (..., H, W, C) with C a multiple of {r * r}, got {x.shape}")
    *rest, h, w, channels = x.shape
    blocks = x.reshape(math.prod(rest), h, w, channels // (r * r), r, r)
    return blocks.transpose(0, 1, 4, 2, 5, 3).reshape(*rest, h * r, w * r, channels // (r * r))


def pixel_unshuffle(x: Tensor, downscale_factor: int) -> Tensor:
    """r^2 channels from blocks of r x r pixels, :func:`pixel_shuffle` turned about: (..., H r, W r, C) ->
    (..., H, W, C r^2); as ``torch.nn.functional.pixel_unshuffle``, channels last.

    Raises:
        ShapeError: x has fewer than three axes, or its height and width are no multiples of r.
    """
    x, r = as_tensor(x), _factor("pixel_unshuffle", "downscale_factor", downscale_factor)
    if x.ndim < 3 or x.shape[-3] % r or x.shape[-2] % r:
        raise ShapeError(f"pixel_unshuffle: expected x (..., H, W, C), H and W multiples of {r}, got {x.shape}")
    *rest, h, w, channels = x.shape
    blocks = x.reshape(math.prod(rest), h // r, r, w // r, r, channels)
    return blocks.transpose(0, 1, 3, 5, 2, 4).reshape(*rest, h // r, w // r, channels * r * r)


def _factor(name: str, argument: str, value: Any) -> int:
    try:
        return sizes(argument, value, 1)[0]
    except ValueError:
        raise ArgumentError(f"{name}: {argument} is a whole number of at least 1, got {value!r}") from None


class Unfold(Function):
    """y[n, p, (c kh + i) kw + j] = x[n, s p + d (i, j) - padding, c]: what a kernel sees at each place p; dx sums dy
    over all places that saw x. Shapes: x (N, H, W, C), y (N, H' W', C kh kw)."""

    compute_in_float32 = True

    def __init__(self, kernel: tuple[int, int], geometry: ConvGeometry):
        self.kernel, self.geometry = kernel, geometry

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        return _unfolded(x, self.kernel, self.geometry)

    def backward(self, dout: Array) -> Array:
        return _folded(dout, self.shape, self.kernel, self.geometry)


class Fold(Function):
    """The transposed map of :class:`Unfold`: the sum of patches (N, H' W', C kh kw) into images (N, H, W, C), each at
    its place; dx takes the patches of dy."""

    compute_in_float32 = True

    def __init__(self, size: tuple[int, int], kernel: tuple[int, int], geometry: ConvGeometry):
        self.size, self.kernel, self.geometry = size, kernel, geometry

    def forward(self, x: Array) -> Array:
        shape = len(x), *self.size, x.shape[2] // math.prod(self.kernel)
        return _folded(x, shape, self.kernel, self.geometry)

    def backward(self, dout: Array) -> Array:
        return _unfolded(dout, self.kernel, self.geometry)


def _unfolded(x: Array, kernel: tuple[int, int], geometry: ConvGeometry) -> Array:
    size = geometry.out_size(x.shape, kernel)
    shape = len(x), *size, x.shape[3]
    y = array_module(x).empty((*shape, *kernel), dtype=x.dtype)
    for i, j, view in taps(padded(x, geometry.padding), shape, kernel, geometry.stride, geometry.dilation):
        y[..., i, j] = view
    return y.reshape(len(x), math.prod(size), x.shape[3] * math.prod(kernel))


def _folded(patches: Array, x_shape: tuple, kernel: tuple[int, int], geometry: ConvGeometry) -> Array:
    (n, h, w, channels), (top, left) = x_shape, geometry.padding
    shape = n, *geometry.out_size(x_shape, kernel), channels
    whole = array_module(patches).zeros((n, h + 2 * top, w + 2 * left, channels), dtype=patches.dtype)
    patches = patches.reshape(*shape, *kernel)
    for i, j, view in taps(whole, shape, kernel, geometry.stride, geometry.dilation):
        view += patches[..., i, j]
    return whole[:, top : top + h, left : left + w]


def unfold(x: Tensor, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1) -> Tensor:
    """The patches that a kernel sees: (N, H, W, C) -> (N, H' W', C kh kw); as ``torch.nn.functional.unfold``, channels
    last, so that ``F.unfold(x, k) @ weight`` is a convolution.

    Args:
        x: (N, H, W, C). In a patch the channel changes slowest, as in PyTorch.
        kernel_size, dilation, padding, stride: a number for both axes or (vertical, horizontal).
    Raises:
        ShapeError: x is no batch of images, or the kernel is larger than the padded image.
    """
    x = as_tensor(x)
    kernel, geometry = _window(kernel_size, dilation, padding, stride)
    if x.ndim != 4 or min(geometry.out_size(x.shape, kernel)) < 1:
        raise ShapeError(f"unfold: expected x (N, H, W, C) into which {kernel} fits, got {x.shape} with {padding=}")
    return apply(Unfold(kernel, geometry), x)


def fold(
    x: Tensor, output_size: Sizes, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1
) -> Tensor:
    """Images from patches, which add up where they overlap: (N, H' W', C kh kw) -> (N, H, W, C); as
    ``torch.nn.functional.fold``, channels last.

    Args:
        x: as :func:`unfold` gives it.
        output_size: (H, W).
        kernel_size, dilation, padding, stride: those of :func:`unfold`.
    Raises:
        ShapeError: the patches are not those of such images.
    """
    x = as_tensor(x)
    kernel, geometry = _window(kernel_size, dilation, padding, stride)
    height, width = sizes("output_size", output_size, 2)
    places = geometry.out_size((0, height, width, 0), kernel)
    if x.ndim != 3 or min(places) < 1 or x.shape[1] != math.prod(places) or x.shape[2] % math.prod(kernel):
        raise ShapeError(
            f"fold: expected x (N, {math.prod(places)}, C {math.prod(kernel)}) for output {(height, width)} and kernel "
            f"{kernel}, got {x.shape}"
        )
    return apply(Fold((height, width), kernel, geometry), x)


def _window(kernel_size: Sizes, dilation: Sizes, padding: Sizes, stride: Sizes) -> tuple[tuple[int, int], ConvGeometry]:
    kernel: Any = sizes("kernel_size", kernel_size, 2)
    settings: tuple[Any, Any, Any] = (
        sizes("stride", stride, 2), sizes("padding", padding, 2, 0), sizes("dilation", dilation, 2),
    )  # fmt: skip
    return kernel, ConvGeometry(*settings)
