"""Two axes of a sweep: a heat map, and the curves along one axis for each value of the other."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from dlcourse.plots import layout, style
from dlcourse.plots.curves import label_log, log_y, wants_log
from dlcourse.plots.figures.error_curve import ordered, positions, scale_x
from dlcourse.plots.figures.learning_curve import LearningCurve
from dlcourse.plots.plot import Plot, seen
from dlcourse.plots.sweep_view import Axis, SweepView
from dlcourse.plots.text import axis_label, axis_name, capital, label, number
from dlcourse.text import canonical, show_value


def two_axes(view: SweepView) -> tuple[Axis, Axis] | None:
    """Two axes whose product the settings fill, at least for the greater part: the longer one second (across)."""
    if len(view.axes) != 2:
        return None
    first, second = sorted(view.axes, key=lambda axis: len(axis.values))
    return (first, second) if len(view.settings) >= 0.6 * len(first.values) * len(second.values) else None


def in_order(axis: Axis) -> list:
    """The axis's values, numbers by size."""
    return sorted(axis.values) if axis.numeric else list(axis.values)


def title_of_best(view: SweepView) -> str:
    """``Validation accuracy is highest, 0.93, at learning rate 0.1, width 64``."""
    split = style.split_word(view.select[1])
    name = view.metric_name(view.shown_metric)
    best = view.chosen("best")
    value = best.mean.get(f"{view.select[1]}.{view.shown_metric}") if best else None
    if best is None or value is None:
        return capital(f"{split} {name} by {' and '.join(axis_name(axis.path) for axis in view.axes)}")
    extreme = "highest" if view.higher_is_better else "least"
    return capital(f"{split} {name} is {extreme}, {number(value, 3)}, at {view.label(best.overrides)}")


class HeatMap(Plot):
    kind, name, order = "sweep", "heat_map", 114
    most_cells = 400

    def applies(self, view: SweepView) -> bool:
        pair = two_axes(view)
        if LearningCurve().applies(view) or pair is None or len(pair[0].values) * len(pair[1].values) > self.most_cells:
            return False
        return bool(np.isfinite(view.values(view.select[1], view.shown_metric)).sum() > 1)

    def draw(self, view: SweepView) -> tuple[Figure, str]:
        down, across = seen(two_axes(view))
        rows, columns = in_order(down), in_order(across)
        table = np.full((len(rows), len(columns)), np.nan)
        row_of = {canonical(value): index for index, value in enumerate(rows)}
        column_of = {canonical(value): index for index, value in enumerate(columns)}
        for setting, value in zip(view.settings, view.values(view.select[1], view.shown_metric), strict=True):
            if down.path in setting.overrides and across.path in setting.overrides and np.isfinite(value):
                cell = (
                    row_of[canonical(setting.overrides[down.path])],
                    column_of[canonical(setting.overrides[across.path])],
                )
                table[cell] = value
        width = style.WIDE if len(columns) > 10 else style.WIDTH
        figure = style.canvas(width, min(7.0, max(3.4, 2.0 + 0.42 * len(rows))))
        axes = figure.subplots()
        axes.grid(False)
        axes.set_facecolor(style.PALE)
        norm = LogNorm() if wants_log([table]) else None
        image = axes.imshow(table, cmap=style.SEQUENTIAL, norm=norm, aspect="auto", origin="lower")
        _annotate(axes, image, table, width)
        best = view.chosen("best")
        if best is not None and down.path in best.overrides and across.path in best.overrides:
            row, column = (
                row_of[canonical(best.overrides[down.path])],
                column_of[canonical(best.overrides[across.path])],
            )
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, ec="#D55E00", lw=2.6, clip_on=False))
        _name_ticks(axes, rows, columns)
        axes.set_xlabel(axis_label(across.path))
        axes.set_ylabel(axis_label(down.path))
        name = f"{style.split_word(view.select[1])} {view.metric_label(view.shown_metric)}"
        bar = figure.colorbar(image, ax=axes, label=name)
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
    turned = sum(len(name) + 2 for name in names[::step]) > 60
    axes.set_xticks(
        range(0, len(names), step), names[::step], rotation=40 if turned else 0, ha="right" if turned else "center"
    )
    axes.set_yticks(range(len(rows)), [show_value(value) for value in rows])
    axes.tick_params(length=0)


class Families(Plot):
    """The selected metric along a numeric axis, one line for each value of the other one."""

    kind, name, order = "sweep", "families", 116
    most_lines = 8

    def applies(self, view: SweepView) -> bool:
        return self._axes(view) is not None and HeatMap().applies(view)

    def _axes(self, view: SweepView) -> tuple[Axis, Axis] | None:
        """The axis across (numbers, at least three) and the axis of lines."""
        pair = two_axes(view)
        if pair is None:
            return None
        for lines, across in (pair, pair[::-1]):
            if across.numeric and len(across.values) >= 3 and len(lines.values) <= self.most_lines:
                return across, lines
        return None

    def draw(self, view: SweepView) -> tuple[Figure, str]:
        across, lines = seen(self._axes(view))
        split, metric = view.select[1], view.shown_metric
        figure = style.canvas(height=4.4)
        axes = figure.subplots()
        values = in_order(lines)
        colors = style.ramp(len(values)) if lines.numeric else [style.class_look(i)[0] for i in range(len(values))]
        drawn = []
        for index, value in enumerate(values):
            own = [s for s in view.settings if canonical(s.overrides.get(lines.path)) == canonical(value)]
            settings = ordered(view, across, own)
            y, errors = view.values(split, metric, settings), view.errors(split, metric, settings)
            axes.errorbar(
                positions(settings, across),
                np.where(np.isfinite(y), y, np.nan),
                yerr=errors if np.isfinite(errors).any() else None,
                color=colors[index],
                marker=style.class_look(index)[1],
                capsize=3,
                elinewidth=1.1,
                label=label(show_value(value)),
            )
            drawn.append(y)
        if wants_log(drawn):
            log_y(axes)
        scale_x(axes, across)
        axes.set_ylabel(f"{style.split_word(split)} {view.metric_label(metric)}")
        axes.legend(title=axis_name(lines.path), loc="upper left", bbox_to_anchor=(1.0, 1.0), title_fontsize=9)
        layout.headline(figure, title_of_best(view))
        return figure, f"One line for each value of {axis_name(lines.path)}."
