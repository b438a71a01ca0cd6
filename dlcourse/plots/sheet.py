"""Images in rows as one png, pixel by pixel."""

import io

import numpy as np

GAP = 2
"""Pixels between two images."""


def sheet(images: np.ndarray, largest: float | None) -> bytes:
    """A png of about as many rows as columns.

    Args:
        images: (K, H, W, 1 or 3).
        largest: the brightest value of the data; above 127 they are in 0..255.
    """
    from PIL import Image

    count, height, width, channels = images.shape
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    scale = 1.0 if largest is None or largest > 127 else 255 / largest
    pixels = np.round(np.clip(images * scale, 0, 255)).astype(np.uint8)
    page = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, channels), 255, np.uint8)
    for index, image in enumerate(pixels):
        row, column = divmod(index, columns)
        top, left = row * (height + GAP), column * (width + GAP)
        page[top : top + height, left : left + width] = image
    stream = io.BytesIO()
    Image.fromarray(page if channels == 3 else page[:, :, 0]).save(stream, "png")
    return stream.getvalue()
