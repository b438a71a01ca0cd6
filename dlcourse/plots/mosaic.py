"""Images side by side, with a caption under each."""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
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
        rows: what stands before each row, of one line or more; none where nothing does.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: Sequence[str],
        columns: int,
        apart: bool = False,
        rows: Sequence[str] = (),
    ):
        count, height, width = images.shape[:3]
        self.columns = min(columns, count)
        self._apart = 0.5 if apart else 0.0
        self._tall = height / width
        across = self.columns * (1 + GAP) - GAP + self._apart
        letters = max((len(line) for row in rows for line in row.split("\n")), default=0)
        before = letters * _LETTER + 0.1 if rows else 0.0  # inches
        self._inches = min((style.WIDE - 0.3 - before) / across, 1.5)  # of an image's width
        self._tops = [0.0]
        for start in range(0, count, self.columns):
            lines = max((each.count("\n") + 1 for each in labels[start : start + self.columns] if each), default=0)
            self._tops.append(self._tops[-1] + self._tall + GAP + lines * _LINE / self._inches)
        width_inches = max(across * self._inches + before + 0.3, style.WIDTH)
        self.figure, self.axes = style.subplots(width_inches, self._tops[-1] * self._inches + 0.45)
        self.axes.set_axis_off()
        self.axes.set(xticks=[], yticks=[])
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            left, top = self._corner(index)
            shown = image if image.shape[2] == 3 else image[:, :, 0]
            corners = (left, left + 1, top + self._tall, top)
            self.axes.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="nearest", extent=corners)
            self._label(label, left + 0.5, top + self._tall + GAP / 3)
        for top, row in zip(self._tops, rows, strict=False):
            self.axes.text(-GAP, top + self._tall / 2, row, ha="right", va="center", fontsize=_POINTS)
        self.axes.set_xlim(-before / self._inches, across)
        self.axes.set_ylim(self._tops[-1] - GAP, 0)
        self.axes.set_aspect("equal")

    def frame(self, index: int, color: str, dashed: bool) -> None:
        """Draw a frame round an image."""
        dashes = (0, (3, 1.5)) if dashed else "-"
        corner = self._corner(index)
        self.axes.add_patch(Rectangle(corner, 1, self._tall, fill=False, ec=color, lw=2, ls=dashes, clip_on=False))

    def _corner(self, index: int) -> tuple[float, float]:
        row, column = divmod(index, self.columns)
        return column * (1 + GAP) + (self._apart if column else 0), self._tops[row]

    def _label(self, label: str, x: float, y: float) -> None:
        max_letters = int((1 + GAP) * self._inches / _LETTER)
        text = "\n".join(clip(line, max_letters) for line in label.split("\n"))
        self.axes.text(x, y, text, ha="center", va="top", fontsize=_POINTS, linespacing=1.1)

    def scale(self, colormap: str, ends: tuple[str, str]) -> None:
        """Below the images what the ends of a color scale mean."""
        bar = self.figure.colorbar(
            ScalarMappable(cmap=colormap),
            ax=self.axes,
            location="bottom",
            shrink=2 / self.figure.get_figwidth(),
            aspect=18,
            pad=0.01,
            ticks=[0, 1],
        )
        bar.ax.set_xticklabels(ends, fontsize=_POINTS)
        bar.ax.tick_params(length=0)
        bar.outline.set_visible(False)


def colored(values: np.ndarray, colormap: str) -> np.ndarray:
    """Numbers in 0..1 as images in bytes (..., 3)."""
    return (255 * colormaps[colormap](np.clip(np.nan_to_num(values), 0, 1))[..., :3]).round().astype(np.uint8)


def enlarged(images: np.ndarray, height: int, width: int) -> np.ndarray:
    """Images (..., H, W, C) of another size, pixels repeated or left out."""
    rows = np.arange(height) * images.shape[-3] // height
    columns = np.arange(width) * images.shape[-2] // width
    return images[..., rows, :, :][..., columns, :]


def in_color(images: np.ndarray) -> np.ndarray:
    """Images (..., 1 or 3) with three channels."""
    return np.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images
