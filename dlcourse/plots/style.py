"""How every picture looks: colours, sizes, fonts; new canvases; saving with the same bytes each time.

Colours are Okabe and Ito's, which colour-blind readers tell apart (https://jfly.uni-koeln.de/color/); shapes and dashes
say the same once more. Figures are made on their own Agg canvas: pyplot and its global state are not used.
"""

import os
import textwrap
from collections.abc import Iterator, Sequence
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

DPI = 150
WIDTH, HEIGHT = 6.4, 4.0
"""Inches of an ordinary picture; a wide one, shown across the whole report, is WIDE inches."""
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

STYLE: dict[str, Any] = {
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
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
    "figure.constrained_layout.h_pad": 0.06,
    "figure.constrained_layout.w_pad": 0.06,
}


@dataclass(frozen=True)
class Look:
    """How one split is drawn and what it is called."""

    label: str
    color: str
    marker: str
    dash: str


SPLITS = {
    "train": Look("training", "#0072B2", "o", "-"),
    "val": Look("validation", "#D55E00", "s", "-"),
    "test": Look("test", "#009E73", "^", "-"),
}


def split_word(split: str) -> str:
    """``val`` -> validation."""
    return SPLITS[split].label if split in SPLITS else split


@contextmanager
def styled() -> Iterator[None]:
    """Matplotlib's defaults with this style on top, whatever the user's ``matplotlibrc`` says; undone at the end."""
    with matplotlib.style.context(["default", STYLE]):
        yield


def canvas(width: float = WIDTH, height: float = HEIGHT) -> Figure:
    """An empty figure on an Agg canvas, whose parts never overlap (constrained layout)."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def panels(count: int, columns: int | None = None, *, height: float = 2.7, **options: Any) -> tuple[Figure, list[Axes]]:
    """Small multiples, filled row by row, in three columns unless two fill them better; the rest stays blank."""
    columns = min(count, columns or (2 if count == 4 else 3))
    rows = -(-count // columns)
    width = WIDE if columns > 2 else WIDTH if columns == 1 else 8.4
    figure = canvas(width, height * rows + 0.7)
    grid = figure.subplots(rows, columns, squeeze=False, **options)
    cells = list(grid.flat)
    for cell in cells[count:]:
        cell.set_visible(False)
    return figure, cells[:count]


def headline(figure: Figure, title: str) -> None:
    """The title over the whole figure, at the left, broken into lines that fit; kept for the file's metadata."""
    text = figure.suptitle("", x=0.012, ha="left", fontsize=12, fontweight="bold")
    room = 0.97 * figure.bbox.width
    for per_line in range(len(title) + 1, 20, -4):
        text.set_text("\n".join(textwrap.wrap(title, per_line)))
        if text.get_window_extent(figure.canvas.get_renderer()).width <= room:
            break
    figure.set_label(title)


def legend(axes: Axes, handles: Sequence[Any] | None = None) -> None:
    """Labels above the axes, where they hide no data, in as few rows as fit; nothing if nothing is labelled."""
    handles = axes.get_legend_handles_labels()[0] if handles is None else list(handles)
    figure = axes.get_figure()
    # The axes begin about 0.8 inches from the left; where exactly is known only when everything is laid out.
    room = figure.bbox.width - 0.8 * figure.dpi
    for rows in range(1, len(handles) + 1):
        columns = -(-len(handles) // rows)
        # Matplotlib fills columns; this order makes the rows read from left to right.
        order = [handles[i] for start in range(columns) for i in range(start, len(handles), columns)]
        made = axes.legend(
            handles=order,
            loc="lower left",
            bbox_to_anchor=(-0.01, 1.0),
            ncols=columns,
            borderaxespad=0.2,
            handlelength=1.7,
            handletextpad=0.5,
            columnspacing=1.3,
        )
        if made.get_window_extent(figure.canvas.get_renderer()).width <= room:
            break


def shared_legend(figure: Figure, axes: Axes) -> None:
    """One row of labels below all panels, those of one panel standing for all."""
    handles, labels = axes.get_legend_handles_labels()
    made = figure.legend(handles, labels, loc="outside lower center", ncols=len(handles))
    for handle in made.legend_handles:
        if hasattr(handle, "set_sizes"):  # of points, which are small in small panels
            handle.set_sizes([28])
            handle.set_alpha(0.9)


def class_look(index: int) -> tuple[str, str]:
    """Colour and marker of a class; after eight the pairs go on in another combination."""
    count = len(CLASSES)
    return CLASSES[index % count], CLASS_MARKERS[(index + index // count) % count]


def tint(color: str, strength: float = 0.22) -> tuple[float, float, float]:
    """The colour mixed with white."""
    return tuple(1 - strength * (1 - part) for part in to_rgb(color))


def ramp(count: int) -> list[tuple[float, ...]]:
    """Colours for an ordered family of curves, dark to light, without the palest end."""
    return [colormaps["viridis"](position) for position in np.linspace(0.0, 0.86, max(count, 1))]


def save(figure: Figure, path: Path, caption: str) -> None:
    """Write a PNG, whole or not at all, that carries its title and caption and no date: equal input, equal bytes."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            largest = max(map(abs, axis.get_view_interval()))
            if axis.get_scale() == "linear" and not 1e-6 < largest < 1e7:
                # Instead of a factor at the end of the axis, where it would lie under the legend.
                axis.set_major_formatter(lambda value, _: f"{value:.6g}")
    partial = path.with_name(path.name + ".partial")
    metadata = {"Title": figure.get_label(), "Description": caption, "Software": None}
    try:
        figure.savefig(partial, format="png", metadata=metadata)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
