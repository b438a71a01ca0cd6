"""One image file as an array of bytes, by Pillow: upright, in the channels and the size that are wanted."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from dlcourse.errors import DataError

Fit = Literal["none", "stretch", "crop"]
"""How an image of another size is brought to the wanted one: not at all, whatever its shape, or cut to it first."""

SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm")
)
"""What the names of image files end with, in small letters."""

CHANNELS = {"gray": 1, "rgb": 3, "rgba": 4}
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_WITHOUT_COLOR = ("1", "L", "LA", "La", "I", "F")
_TURNED = (5, 6, 7, 8)  # values of the EXIF orientation under which height and width change places
_ORIENTATION = 0x0112


@dataclass(frozen=True)
class ImageHeader:
    """What a file says of its image before anything is unpacked."""

    height: int
    width: int
    colored: bool


def read_header(file: Path | IO[bytes]) -> ImageHeader:
    """Height and width as they are once the image is upright, and whether its pixels have colors.

    Raises:
        DataError: no image; the message says why, without the name of the file.
    """
    from PIL import Image

    with _decoding(), Image.open(file) as image:
        width, height = image.size
        # Asked for EXIF data that it has not met yet, Pillow unpacks a whole png.
        if (image.format != "PNG" or "exif" in image.info) and image.getexif().get(_ORIENTATION) in _TURNED:
            height, width = width, height
        return ImageHeader(height, width, image.mode.partition(";")[0] not in _WITHOUT_COLOR)


def read_image(file: Path | IO[bytes], shape: tuple[int, int, int], fit: Fit) -> np.ndarray:
    """The image (H, W, C) in uint8.

    It is turned as its EXIF data say. Transparent pixels are laid on white, unless C is 4. Pixels of 16 bits become
    8, colors become gray as ITU-R 601 weighs them. A resize is bilinear and averages what it makes smaller.

    Args:
        shape: (H, W, C), C of 1, 3 or 4.
        fit: ``none`` takes an image of that size only.
    Raises:
        DataError: no image, a damaged one, or of another size; the message says why, without the name of the file.
    """
    from PIL import Image, ImageOps

    height, width, channels = shape
    with _decoding(), Image.open(file) as image:
        upright: Any = _in_mode(ImageOps.exif_transpose(image), _MODES[channels])
        if upright.size != (width, height):
            if fit == "none":
                raise DataError(f"is {upright.height} x {upright.width} pixels, expected {height} x {width}")
            size, method = (width, height), Image.Resampling.BILINEAR
            upright = ImageOps.fit(upright, size, method) if fit == "crop" else upright.resize(size, method)
        return np.asarray(upright).reshape(shape)


@contextlib.contextmanager
def _decoding() -> Iterator[None]:
    """Whatever goes wrong with a file in the block is a DataError."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # damaged bytes make decoders raise errors of any type
        raise DataError(_reason(error)) from None


def _in_mode(image: Any, mode: str) -> Any:
    """The image in one of the modes of :data:`_MODES`."""
    from PIL import Image

    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", None)):
        image = Image.fromarray(np.round(np.asarray(image) / 257).clip(0, 255).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise DataError("has pixels of 32 bits, expected 8 or 16")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if mode != "RGBA":
            image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)
    return image if image.mode == mode else image.convert(mode)


def _reason(error: Exception) -> str:
    """Why a file is no image, in a few words."""
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "no image"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"more than {Image.MAX_IMAGE_PIXELS} pixels"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:100]
