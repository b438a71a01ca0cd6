"""Images side by side, with a caption under each."""

from collections.abc import Sequence

import numpy as np
from matplotlib.patches import Rectangle

from dlcourse.plots import style
from dlcourse.plots.text import clip

GAP = 0.1  # between images, of an image's width
_POINTS = 7.5
_LINE = 1.3 * _POINTS / 72  # inches
_LETTER = 0.6 * _POINTS / 72


class Mosaic:
    """A figure of images of one size, filled row by row.

    Args:
        images: (K, H, W, 1 or 3), bytes.
        labels: one for each, of one line or more; what is longer than an image is wide is cut.
        columns: how many stand in a row.
        apart: after the first column comes a gap as wide as half an image.
    """

    def __init__(self, images: np.ndarray, labels: Sequence[str], columns: int, apart: bool = False):
        count, height, width = images.shape[:3]
        self.columns, self.rows = min(columns, count), -(-count // columns)
        self._apart = 0.5 if apart else 0.0
        self._tall = height / width
        across = self.columns * (1 + GAP) - GAP + self._apart
        self._inches = min((style.WIDE - 0.3) / across, 1.5)  # of an image's width
        lines = max((label.count("\n") + 1 for label in labels if label), default=0)
        self._down = self._tall + GAP + lines * _LINE / self._inches
        width_inches = max(across * self._inches + 0.3, style.WIDTH)
        self.figure, self.axes = style.subplots(width_inches, self.rows * self._down * self._inches + 0.45)
        self.axes.set_axis_off()
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            left, top = self._corner(index)
            shown = image if image.shape[2] == 3 else image[:, :, 0]
            corners = (left, left + 1, top + self._tall, top)
            self.axes.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="nearest", extent=corners)
            self._label(label, left + 0.5, top + self._tall + GAP / 3)
        self.axes.set_xlim(0, across)
        self.axes.set_ylim(self.rows * self._down - GAP, 0)
        self.axes.set_aspect("equal")

    def frame(self, index: int, color: str, dashed: bool) -> None:
        """Draw a frame round an image."""
        dashes = (0, (3, 1.5)) if dashed else "-"
        corner = self._corner(index)
        self.axes.add_patch(Rectangle(corner, 1, self._tall, fill=False, ec=color, lw=2, ls=dashes, clip_on=False))

    def _corner(self, index: int) -> tuple[float, float]:
        row, column = divmod(index, self.columns)
        return column * (1 + GAP) + (self._apart if column else 0), row * self._down

    def _label(self, label: str, x: float, y: float) -> None:
        max_letters = int((1 + GAP) * self._inches / _LETTER)
        text = "\n".join(clip(line, max_letters) for line in label.split("\n"))
        self.axes.text(x, y, text, ha="center", va="top", fontsize=_POINTS, linespacing=1.1)
