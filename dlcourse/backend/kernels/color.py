"""Color jitter of images, as ``torchvision.transforms.ColorJitter``: brightness, contrast, saturation and hue."""

from typing import Any

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import kernel

GRAY = 0.2989, 0.587, 0.114


@kernel
def color_jitter(images: Array, order: Array, factors: Array, used: tuple[int, ...]) -> Array:
    """Each image changed by four functions, in an order of its own; after each, colors are clipped to 0..1.

    Brightness f x; contrast f x + (1 - f) m, m the mean of the image's gray; saturation f x + (1 - f) gray(x); hue:
    that of HSV moved by f of the circle. Gray is 0.2989 R + 0.587 G + 0.114 B.

    Args:
        images: (n, H, W, 3) or, without saturation and hue, (n, H, W, 1), in 0..1.
        order: (n, 4), what is first, second, ...: 0 for brightness to 3 for hue.
        factors: (n, 4), the f of brightness, contrast, saturation, hue.
        used: which of the four are wanted, ascending.
    """
    xp = array_module(images)
    for place in range(order.shape[1]):
        before = images
        for which in used:
            here = (order[:, place] == which)[:, None, None, None]
            images = xp.where(here, changed(before, which, factors[:, which]), images)
    return images


def changed(images: Array, which: int, factor: Array) -> Array:
    """One of the four functions, of a factor (n,) for each image."""
    xp = array_module(images)
    factor = factor.astype(images.dtype)[:, None, None, None]
    if which == 3:
        return _hue(xp, images, factor)
    if which == 0:
        return (images * factor).clip(0, 1)
    other = _gray(images)
    if which == 1:
        other = other.mean(axis=(1, 2), keepdims=True, dtype="float64").astype(images.dtype)
    return (images * factor + (1 - factor) * other).clip(0, 1)


def _gray(images: Array) -> Array:
    if images.shape[3] == 1:
        return images
    red, green, blue = GRAY
    return images[..., :1] * red + images[..., 1:2] * green + images[..., 2:] * blue


def _hue(xp: Any, images: Array, shift: Array) -> Array:
    """To HSV (Smith 1978), the hue moved, and back."""
    r, g, b = (images[..., k : k + 1] for k in range(3))
    most, least = images.max(axis=3, keepdims=True), images.min(axis=3, keepdims=True)
    spread = most - least
    divisor = xp.where(spread == 0, 1, spread)
    red, green, blue = ((most - each) / divisor for each in (r, g, b))
    hue = xp.where(most == r, blue - green, xp.where(most == g, 2 + red - blue, 4 + green - red))
    hue = (hue / 6 + shift) % 1 * 6
    saturation = spread / xp.where(most == 0, 1, most)
    # A channel is V times 1 less S times how far it lies from its stretch of the circle (5, 3 and 1 of six).
    parts = []
    for offset in (5, 3, 1):
        at = (hue + offset) % 6
        parts.append(most * (1 - saturation * xp.minimum(at, 4 - at).clip(0, 1)))
    return xp.concatenate(parts, axis=3).astype(images.dtype)
