"""The style of all plots: colors, sizes, fonts; new canvases; saving with the same bytes each time.

Colors are Okabe and Ito's, which color-blind readers tell apart (https://jfly.uni-koeln.de/color/); shapes and dashes
say the same once more. Figures are made on their own Agg canvas: pyplot and its global state are not used.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from dlcourse.filesystem import naming, replacing

DPI = 150
FORMATS = ("svg", "pdf")
"""Drawings that stay sharp at any size, for papers and slides; of a PDF the text can be searched."""
WIDTH, HEIGHT = 6.4, 4.0
"""Inches of an ordinary image; a wide one, shown across the whole report, is WIDE inches."""
WIDE = 10.4

INK = "#222222"
GREY = "#6E6E6E"
PALE = "#E9ECEF"
TRUTH = "#222222"
FIT = "#0072B2"
MARK = "#CC79A7"
CLASSES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#8A6FB0", "#7A7A7A")
CLASS_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
SEQUENTIAL = "cividis"
HEAT, DIVERGING = "inferno", "RdBu_r"
"""Of maps over images: from nothing to much, and from against to for."""
DASHES = (0, (4, 2.5))

STYLE: dict[str, Any] = {
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "text.parse_math": False,  # names are text, whatever is in them: $, _, ^ and backslashes
    "axes.edgecolor": "#9A9A9A",
    "axes.labelcolor": INK,
    "axes.labelsize": 10,
    "axes.titlesize": 10,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": PALE,
    "grid.linewidth": 0.8,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "axes.formatter.useoffset": False,
    "axes.formatter.limits": (-6, 7),
    "svg.fonttype": "path",  # looks the same without the font
    "svg.hashsalt": "dlcourse",  # equal input, equal bytes
    "pdf.fonttype": 42,  # TrueType, which publishers ask for
    "figure.constrained_layout.h_pad": 0.06,
    "figure.constrained_layout.w_pad": 0.06,
}


@dataclass(frozen=True)
class Look:
    """How one split, or another line, is drawn and what it is called."""

    label: str
    color: Any
    marker: str


SPLITS = {
    "train": Look("training", "#0072B2", "o"),
    "val": Look("validation", "#D55E00", "s"),
    "test": Look("test", "#009E73", "^"),
}


def scatter(axes: Axes, split: str, x: np.ndarray, y: np.ndarray, *, many: bool, size: float = 20) -> None:
    """The points of a split; ``many`` points in the image are drawn small and pale."""
    look = SPLITS[split]
    axes.scatter(
        x,
        y,
        s=6 if many else size,
        marker=look.marker,
        color=look.color,
        alpha=0.35 if many else 0.7,
        linewidths=0,
        label=look.label,
        zorder=2,
    )


def split_word(split: str) -> str:
    """``val`` -> validation."""
    return SPLITS[split].label if split in SPLITS else split


@contextmanager
def styled(dpi: int = DPI) -> Iterator[None]:
    """Matplotlib's defaults with this style on top, whatever the user's ``matplotlibrc`` says; undone at the end."""
    with matplotlib.style.context(["default", STYLE, {"figure.dpi": dpi, "savefig.dpi": dpi}]):
        yield


def canvas(width: float = WIDTH, height: float = HEIGHT) -> Figure:
    """An empty figure on an Agg canvas, whose parts never overlap (constrained layout)."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def subplots(width: float = WIDTH, height: float = HEIGHT) -> tuple[Figure, Axes]:
    """A :func:`canvas` with one pair of axes."""
    figure = canvas(width, height)
    return figure, figure.subplots()


def class_look(index: int) -> tuple[str, str]:
    """Color and marker of a class; after eight the pairs go on in another combination."""
    count = len(CLASSES)
    return CLASSES[index % count], CLASS_MARKERS[(index + index // count) % count]


def tint(color: str, strength: float = 0.22) -> tuple[float, float, float]:
    """The color mixed with white."""
    red, green, blue = (1 - strength * (1 - channel) for channel in to_rgb(color))
    return red, green, blue


def line_colors(count: int, *, ramp: bool) -> list[Any]:
    """A color for each of some lines: dark to light, without the palest end, if ``ramp``; else those of classes."""
    if ramp:
        return [colormaps["viridis"](position) for position in np.linspace(0.0, 0.86, max(count, 1))]
    return [class_look(index)[0] for index in range(count)]


def _photographs(figure: Figure) -> str:
    """The boxes of photographs and the like, ``left,top,right,bottom`` in pixels of the PNG; a dark page inverts all
    around them, but not these."""
    drawn = [image for axes in figure.axes for image in axes.images]
    photographs = [
        image for image in drawn if np.asarray(image.get_array()).ndim == 3 or image.get_cmap().name == "gray"
    ]
    if photographs:
        figure.draw_without_rendering()  # which lays out the figure: only then is known where anything is
    boxes = set()
    for image in photographs:
        (left, bottom), (right, top) = np.rint(image.get_window_extent().get_points()).astype(int)
        height = round(figure.bbox.height)
        boxes.add(f"{left},{height - top},{right},{height - bottom}")
    return " ".join(sorted(boxes))


def save(figure: Figure, path: Path, caption: str) -> None:
    """Write a file of the kind that its name says, whole or not at all, see :func:`encode`."""
    with naming(path), replacing(path) as file:
        file.write(encode(figure, path.suffix.removeprefix("."), caption))


def encode(figure: Figure, kind: str, caption: str) -> bytes:
    """The figure as a PNG or a file of a kind of :data:`FORMATS`, with its title and caption and without a date: equal
    input, equal bytes."""
    title = figure.get_label()
    metadata = {"Title": title, "Description": caption, "Software": None, "Pictures": _photographs(figure)}
    if kind == "svg":
        metadata = {"Title": title, "Description": caption, "Date": None, "Creator": None}
    elif kind == "pdf":
        metadata = {"Title": title, "Subject": caption, "CreationDate": None, "Creator": None, "Producer": None}
    stream = io.BytesIO()
    figure.savefig(stream, format=kind, metadata=metadata)
    return stream.getvalue()
