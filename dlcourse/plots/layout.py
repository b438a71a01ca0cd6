"""The layout of a figure: panels, titles, labels and legends that do not overlap and are not cut off."""

import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.ticker import AutoLocator, MaxNLocator, ScalarFormatter
from matplotlib.transforms import Bbox

from dlcourse.plots import style


def panels(count: int, columns: int | None = None, *, height: float = 2.7, **options: Any) -> tuple[Figure, list[Axes]]:
    """Small multiples, filled row by row, in three columns unless two fill them better; the rest stays blank."""
    columns = min(count, columns or (2 if count == 4 else 3))
    rows = -(-count // columns)
    width = style.WIDE if columns > 2 else style.WIDTH if columns == 1 else 8.4
    figure = style.canvas(width, height * rows + 0.7)
    grid = figure.subplots(rows, columns, squeeze=False, **options)
    cells = list(grid.flat)
    for cell in cells[count:]:
        cell.set_visible(False)
    return figure, cells[:count]


def panel_title(axes: Axes, title: str, detail: str = "") -> None:
    """The name of a small panel at its left, and at its right a detail, if there is room for both."""
    left = axes.set_title(title, loc="left", fontweight="bold")
    if not detail:
        return
    right = axes.set_title(detail, loc="right", fontsize=8.5, color=style.GREY)
    figure: Any = axes.get_figure()
    widths = [_extent(text, figure).width for text in (left, right)]
    room = figure.bbox.width * 0.93 / _columns(axes) - 0.4 * figure.dpi
    if sum(widths) > room:
        right.set_text("")


def _extent(artist: Any, figure: Any) -> Bbox:
    """The box of what is drawn, in pixels."""
    return artist.get_window_extent(figure.canvas.get_renderer())


def _columns(axes: Axes) -> int:
    """How many panels stand side by side."""
    spec = axes.get_subplotspec()
    return spec.get_gridspec().ncols if spec else 1


def name_x(axes: Axes, places: Sequence[int], names: Sequence[str], degrees: int = 0) -> None:
    """Ticks along x with these names, turned by so many degrees."""
    axes.set_xticks(places, names, rotation=degrees, ha="right" if degrees else "center")


def outer_labels(cells: Sequence[Axes], x: str, y: str) -> None:
    """Name the axes of small multiples that share them at the outside only: at the left, and where nothing is below."""
    for index, axes in enumerate(cells):
        columns = _columns(axes)
        axes.label_outer()
        if index + columns >= len(cells):
            axes.tick_params(labelbottom=True)
            axes.set_xlabel(x)
        if index % columns == 0:
            axes.set_ylabel(y)


def headline(figure: Figure, title: str) -> None:
    """The title over the whole figure, at the left, broken into lines that fit; the file's metadata get it too.

    Called last: the axes' labels are broken into lines that fit too, and their numbers written out.
    """
    for axes in figure.axes:
        _fit_labels(axes, figure)
        _plain_numbers(axes, figure)
    text = figure.suptitle(title, x=0.012, ha="left", fontsize=12, fontweight="bold")
    room = 0.97 * figure.bbox.width
    for per_line in range(max(len(title), 20) + 1, 20, -4):
        text.set_text("\n".join(textwrap.wrap(title, per_line)))
        if _extent(text, figure).width <= room:
            break
    figure.set_label(title)


def _size(axes: Axes, figure: Figure) -> Bbox:
    """About how many pixels wide and high the axes will be when everything is laid out."""
    spec = axes.get_subplotspec()  # a color bar has none; it is about as long as its axes
    share = spec.get_position(figure) if spec else Bbox.from_extents(0, 0, 0.7, 0.7)
    return Bbox.from_extents(0, 0, share.width * figure.bbox.width, share.height * figure.bbox.height)


def _fit_labels(axes: Axes, figure: Figure) -> None:
    """Break axis labels that are longer than their axis."""
    size = _size(axes, figure)
    for axis, room in ((axes.xaxis, size.width), (axes.yaxis, size.height)):
        words = axis.get_label_text()
        for per_line in range(len(words), 10, -2):
            box = _extent(axis.label, figure)
            if max(box.width, box.height) <= room:
                break
            axis.set_label_text("\n".join(textwrap.wrap(words, per_line)))


def _plain_numbers(axes: Axes, figure: Figure) -> None:
    """Write ticks as ``400,000`` and ``1e-09``: without a factor at the end of the axis, where the legend is; along x
    so few that they stand apart."""
    for axis in (axes.xaxis, axes.yaxis):
        largest = max(map(abs, axis.get_view_interval()))
        if not isinstance(axis.get_major_formatter(), ScalarFormatter) or axis.get_scale() != "linear":
            continue
        if not 1e-5 < largest < 1e7:
            axis.set_major_formatter(lambda value, _: f"{value:.6g}")
        elif largest >= 1e4:
            axis.set_major_formatter("{x:,.0f}")
        locator = axis.get_major_locator()
        if axis is axes.xaxis and isinstance(locator, MaxNLocator):
            longest = max(len(text) for text in axis.get_major_formatter().format_ticks(list(axis.get_majorticklocs())))
            if largest < 1e4 and (longest < 6 or not isinstance(locator, AutoLocator)):
                continue  # Matplotlib's own choice leaves room for short numbers
            width = 0.08 * longest + 0.15  # a digit is about 0.08 inches wide
            locator.set_params(nbins=min(9, max(2, int(_size(axes, figure).width / figure.dpi / width))))


def legend(axes: Axes, handles: Sequence[Any] | None = None) -> None:
    """Labels above the axes, where they hide no data, in as few rows as fit; nothing if nothing is labeled."""
    handles = axes.get_legend_handles_labels()[0] if handles is None else list(handles)
    figure: Any = axes.get_figure()
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
        _enlarge_points(made)
        if _extent(made, figure).width <= room:
            break


def shared_legend(figure: Figure, axes: Axes | Sequence[Axes], columns: int | None = None) -> None:
    """One row of labels (or rows of so many) below all panels, those of one panel standing for all, or of several."""
    named: dict[str, Any] = {}
    for each in [axes] if isinstance(axes, Axes) else axes:
        for handle, label in zip(*each.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    columns = min(columns or len(named), len(named))
    _enlarge_points(figure.legend([*named.values()], [*named], loc="outside lower center", ncols=columns))


def _enlarge_points(legend: Legend) -> None:
    """Show points in a legend at a size that can be distinguished, however small the many in the image are."""
    for handle in legend.legend_handles:
        if isinstance(handle, PathCollection):
            handle.set_sizes([28])
            handle.set_alpha(0.9)
