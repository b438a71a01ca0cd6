"""Images in rows as one png, pixel by pixel."""

import io

import numpy as np

GAP = 2
"""Pixels between two images."""


def sheet(pixels: np.ndarray) -> bytes:
    """A png of about as many rows as columns of images (K, H, W, 1 or 3) in bytes."""
    from PIL import Image

    count, height, width, channels = pixels.shape
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    page = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, channels), 255, np.uint8)
    for index, image in enumerate(pixels):
        row, column = divmod(index, columns)
        top, left = row * (height + GAP), column * (width + GAP)
        page[top : top + height, left : left + width] = image
    stream = io.BytesIO()
    Image.fromarray(page if channels == 3 else page[:, :, 0]).save(stream, "png")
    return stream.getvalue()
