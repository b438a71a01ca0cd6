"""A data set's images, a row a class."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dlcourse.plots import layout, style

_GAP = 2  # pixels between images
_ROW = 0.62  # inches
_MARGIN = 1.3  # inches for the names of the rows


def draw_samples(path: Path, rows: Sequence[np.ndarray], names: Sequence[str], title: str, caption: str) -> None:
    """Write a PNG of images in rows.

    Args:
        path: the file.
        rows: for each row its images, (n, H, W, C), of one or three channels; 0 is black, the largest number in
            all of them white (at least 1).
        names: what stands before each row.
        title: what is seen.
        caption: one sentence on how to read it.
    """
    white = max(float(row.max(initial=1)) for row in rows)
    columns = max(len(row) for row in rows)
    height, width, channels = rows[0].shape[1:]
    sheet = np.ones((len(rows) * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, channels))
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            y, x = i * (height + _GAP), j * (width + _GAP)
            sheet[y : y + height, x : x + width] = np.clip(image / white, 0, 1)
    with style.styled():
        figure, axes = style.subplots(_MARGIN + columns * _ROW * width / height, 0.5 + len(rows) * _ROW)
        axes.imshow(np.broadcast_to(sheet, (*sheet.shape[:2], 3)), interpolation="nearest", vmin=0, vmax=1)
        axes.set_yticks([i * (height + _GAP) + height / 2 for i in range(len(rows))], names)
        axes.set_xticks([])
        axes.tick_params(length=0)
        axes.grid(False)
        axes.spines[:].set_visible(False)
        layout.headline(figure, title)
        style.save(figure, path, caption)
