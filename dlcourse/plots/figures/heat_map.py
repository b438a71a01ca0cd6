"""Two axes of a sweep: a heat map, and the curves along one axis for each value of the other."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from dlcourse.plots import layout, style
from dlcourse.plots.curves import label_log, scale_y, wants_log
from dlcourse.plots.figures.error_curve import draw_line, ordered, scale_x
from dlcourse.plots.figures.learning_curve import LearningCurve
from dlcourse.plots.plot import Plot, seen
from dlcourse.plots.sweep_view import Axis, SweepView
from dlcourse.plots.text import axis_label, axis_name, capital, label, number
from dlcourse.text import show_value


def two_axes(view: SweepView) -> tuple[Axis, Axis] | None:
    """Two axes whose product the settings fill, at least for the greater part: the longer one second (across)."""
    if len(view.axes) != 2:
        return None
    first, second = sorted(view.axes, key=lambda axis: len(axis.values))
    return (first, second) if len(view.settings) >= 0.6 * len(first.values) * len(second.values) else None


def title_of_best(view: SweepView) -> str:
    """``Validation accuracy is highest, 0.93, at learning rate 0.1, width 64``."""
    best = view.chosen("best")
    value = best.mean.get(view.selected_key) if best else None
    if best is None or value is None:
        measured = np.isfinite(view.selected_values).any()
        what = view.selected_name if measured else view.metric_name(view.shown_metric)
        return capital(f"{what} by {' and '.join(axis_name(axis.path) for axis in view.axes)}")
    return capital(f"{view.selected_name} is {view.extreme}, {number(value, 3)}, at {view.label(best.overrides)}")


class HeatMap(Plot):
    kind, name, order = "sweep", "heat_map", 114
    max_cells = 400

    def applies(self, view: SweepView) -> bool:
        pair = two_axes(view)
        if LearningCurve().applies(view) or pair is None or len(pair[0].values) * len(pair[1].values) > self.max_cells:
            return False
        return bool(np.isfinite(view.selected_values).sum() > 1)

    def draw(self, view: SweepView) -> tuple[Figure, str]:
        down, across = seen(two_axes(view))
        rows, columns = down.in_order, across.in_order
        table = np.full((len(rows), len(columns)), np.nan)
        for setting, value in zip(view.settings, view.selected_values, strict=True):
            row, column = down.place(setting), across.place(setting)
            if row is not None and column is not None and np.isfinite(value):
                table[row, column] = value
        width = style.WIDE if len(columns) > 10 else style.WIDTH
        figure, axes = style.subplots(width, min(7.0, max(3.4, 2.0 + 0.42 * len(rows))))
        axes.grid(False)
        axes.set_facecolor(style.PALE)
        norm = LogNorm() if wants_log([table]) else None
        image = axes.imshow(table, cmap=style.SEQUENTIAL, norm=norm, aspect="auto", origin="lower")
        _annotate(axes, image, table, width)
        best = view.chosen("best")
        row, column = (None, None) if best is None else (down.place(best), across.place(best))
        if row is not None and column is not None:
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, ec="#D55E00", lw=2.6, clip_on=False))
        _name_ticks(axes, rows, columns)
        axes.set(xlabel=axis_label(across.path), ylabel=axis_label(down.path))
        bar = figure.colorbar(image, ax=axes, label=view.selected_label)
        bar.outline.set_visible(False)
        if norm is not None:
            label_log(bar.ax.yaxis, *bar.ax.get_ylim())
        layout.headline(figure, title_of_best(view))
        caption = "Each cell is one setting, the framed one the best"
        return figure, caption + ("; gray cells have no result." if np.isnan(table).any() else ".")


def _annotate(axes: Axes, image: Any, table: np.ndarray, width: float) -> None:
    """The value in each cell, if it fits in there, in the ink that can be read on the cell."""
    if table.shape[1] > (16 if width > style.WIDTH else 10) or table.shape[0] > 20:
        return
    for (row, column), value in np.ndenumerate(table):
        if np.isfinite(value):
            red, green, blue, _ = image.cmap(image.norm(value))
            dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
            text = number(value, 3)
            axes.text(column, row, text, ha="center", va="center", fontsize=8, color="white" if dark else style.INK)


def _name_ticks(axes: Axes, rows: list, columns: list) -> None:
    names = [show_value(value) for value in columns]
    step = max(1, -(-len(names) // 24))
    turned = max(len(name) + 2 for name in names[::step]) * len(names[::step]) > 60
    layout.name_x(axes, range(0, len(names), step), names[::step], 40 if turned else 0)
    axes.set_yticks(range(len(rows)), [show_value(value) for value in rows])
    axes.tick_params(length=0)


class Families(Plot):
    """The selected metric along a numeric axis, one line for each value of the other one."""

    kind, name, order = "sweep", "families", 116
    max_lines = 8

    def applies(self, view: SweepView) -> bool:
        return self._axes(view) is not None and HeatMap().applies(view)

    def _axes(self, view: SweepView) -> tuple[Axis, Axis] | None:
        """The axis across (numbers, at least three) and the axis of lines."""
        pair = two_axes(view)
        if pair is None:
            return None
        for lines, across in (pair, pair[::-1]):
            if across.numeric and len(across.values) >= 3 and len(lines.values) <= self.max_lines:
                return across, lines
        return None

    def draw(self, view: SweepView) -> tuple[Figure, str]:
        across, lines = seen(self._axes(view))
        figure, axes = style.subplots(height=4.4)
        colors = style.line_colors(len(lines.values), ramp=lines.numeric)
        drawn = []
        for index, value in enumerate(lines.in_order):
            settings = ordered(across, lines.settings_at(value, view.settings))
            look = style.Look(label(show_value(value)), colors[index], style.class_look(index)[1])
            draw_line(axes, view, across, settings, view.select[1], look, width=1.1)
            drawn.append(view.values(view.select[1], settings))
        scale_y(axes, drawn)
        scale_x(axes, across)
        axes.set_ylabel(view.selected_label)
        axes.legend(title=axis_name(lines.path), loc="upper left", bbox_to_anchor=(1.0, 1.0), title_fontsize=9)
        layout.headline(figure, title_of_best(view))
        return figure, f"One line for each value of {axis_name(lines.path)}."
