"""A batch of images in one call: gather, normalize, flip, crop, cut out."""

from typing import Any, NamedTuple

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import kernel

WORDS = 5
"""Random words for each image: flip, the crop's row and column, the row and column of the middle of the hole."""


class ImageSettings(NamedTuple):
    """How images are normalized and augmented, see :func:`image_batch`.

    Attributes:
        shift, scale: of the type of the result, or float32 where that has 16 bits, to broadcast against one image; None
            for 0 and 1.
    """

    shift: Array | None = None
    scale: Array | None = None
    flip: bool = False
    crop: int = 0
    cutout: int = 0
    reflect: bool = False


@kernel(writes=("out",))
def image_batch(images: Array, rows: Array | None, words: Array | None, settings: ImageSettings, out: Array) -> None:
    """out_i = augmented((images[rows_i] - shift) / scale).

    With words, an image is mirrored left to right with probability 1/2 (``flip``), then moved by up to ``crop`` pixels
    each way, which is a random crop of the image padded by so many, then a square of side ``cutout`` about a random
    pixel is blanked (DeVries & Taylor 2017), as far as it lies inside. What has no pixel is 0: the mean of the training
    split, where the mean is taken off, as in He et al. 2015; with ``reflect`` the padding is the image mirrored at its
    edge pixels.

    Args:
        images: (N, H, W, C) of any type; without words of any shape (N, ...).
        rows: (n,) int64: which; None for all, in order.
        words: (n, 5) uint32; None for no augmentation.
        out: (n, H, W, C), floating point; written to.
    """
    xp, (shift, scale, flip, crop, cutout, reflect) = array_module(images), settings
    clean = (images if rows is None else images[rows]).astype(out.dtype)
    if shift is not None:
        clean -= shift
        clean /= scale
    if words is None:
        out[...] = clean
        return
    count, height, width, _ = out.shape
    flips, y, x, middle_y, middle_x = moves(words, height, width, flip, crop, reflect)
    seen = ((y >= 0) & (y < height))[:, :, None] & ((x >= 0) & (x < width))[:, None, :]  # (n, H, W)
    seen &= ~(_near(middle_y, height, cutout)[:, :, None] & _near(middle_x, width, cutout)[:, None, :])
    y, x = y.clip(0, height - 1), xp.where(flips[:, None], width - 1 - x, x).clip(0, width - 1)
    picked = clean[xp.arange(count)[:, None, None], y[:, :, None], x[:, None, :]]
    out[...] = xp.where(seen[..., None], picked, xp.zeros((), out.dtype))


def moves(words: Array, height: int, width: int, flip: bool, crop: int, reflect: bool = False) -> tuple[Array, ...]:
    """What the words say: flips (n,) boolean; the row (n, H) and the column (n, W) of the flipped image from which
    each pixel comes, beyond its edges where there is none; row and column (n,) of the middle of the hole."""
    xp = array_module(words)
    wide = words.astype(xp.uint64)

    def below(column: int, bound: int) -> Array:
        """A whole number from 0 to bound - 1, uniform to 2^-32."""
        return (wide[:, column] * xp.uint64(bound) >> xp.uint64(32)).astype(xp.int64)

    y = xp.arange(height) + (below(1, 2 * crop + 1) - crop)[:, None]
    x = xp.arange(width) + (below(2, 2 * crop + 1) - crop)[:, None]
    if reflect:
        y, x = (last - abs(last - abs(at)) for at, last in ((y, height - 1), (x, width - 1)))
    return (below(0, 2) == 1) & flip, y, x, below(3, height), below(4, width)


def alternated(words: Array, epoch: Any) -> Array:
    """The words of samples for a flip that is drawn once and undone in every other epoch, a number or on the device."""
    xp = array_module(words)
    return words ^ xp.asarray((epoch % 2) << 31, dtype=xp.uint32)


def _near(middle: Array, size: int, length: int) -> Array:
    """(n, size): which positions are in the interval of that length about each middle (n,)."""
    position = array_module(middle).arange(size) - (middle - length // 2)[:, None]
    return (position >= 0) & (position < length)
