"""The learning curves of all settings over one another: training loss and, where it was measured, the metric that
decides."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from dlcourse.plots import layout, style
from dlcourse.plots.curves import decimate, end_above_start, loss_curve, scale_y, whole_ticks
from dlcourse.plots.figures.error_curve import ordered
from dlcourse.plots.plot import Plot
from dlcourse.plots.run_view import RunView
from dlcourse.plots.sweep_view import Setting, SweepView, spread
from dlcourse.plots.text import axis_name, label

MAX_LINES, MAX_SHADES = 16, 10
"""Lines that differ in color and dash, and shades of one ramp, that can be told apart."""


class Overlay(Plot):
    kind, name, order = "sweep", "curves", 140

    def applies(self, view: SweepView) -> bool:
        if len(view.settings) < 2 or not view.axes:
            return False
        runs = [view.run(point) for setting in self._shown(view) for point in setting.points]
        return sum(self._has_curve(view, run) for run in runs) > 1

    def _has_curve(self, view: SweepView, run: RunView) -> bool:
        metric, split = view.select
        return len(run.history.metric(split, metric)[0]) > 1 or len(run.history.train) > 2

    def _shown(self, view: SweepView) -> list[Setting]:
        axis = view.numeric_axis
        settings = ordered(axis, view.settings) if axis else view.settings
        return spread(settings, MAX_SHADES if axis else MAX_LINES, view.chosen("best"))

    def draw(self, view: SweepView) -> tuple[Figure, str]:
        shown, in_order = self._shown(view), view.numeric_axis is not None
        colors = style.line_colors(len(shown), ramp=in_order)
        figure = style.canvas(style.WIDE, 4.2)
        metric, split = view.select
        runs = [view.run(point) for setting in shown for point in setting.points]
        measured = any(len(run.history.metric(split, metric)[0]) > 1 for run in runs)
        left, *right = figure.subplots(1, 2 if measured else 1, squeeze=False)[0]
        losses, values, per_epoch = [], [], 0.0
        for setting, color in zip(shown, colors, strict=True):
            dash = "-" if in_order or shown.index(setting) < len(style.CLASSES) else "--"
            for index, point in enumerate(setting.points):
                run = view.run(point)
                rate = run.history.steps_per_epoch()
                per_epoch = max(per_epoch, rate)
                look = {"color": color, "ls": dash, "lw": 1.5, "alpha": 1 if len(setting.points) == 1 else 0.6}
                label = _label(view, setting) if index == 0 else "_"
                steps, loss = loss_curve(run)
                left.plot(*decimate(steps / (rate or 1), loss), label=label, **look, **_marker(loss))
                steps, curve = run.history.metric(split, metric)
                for axes in right:
                    axes.plot(*decimate(steps / (rate or 1), curve), **look, **_marker(curve))
                losses.append(loss)
                values.append(curve)
        words = "training loss", f"{style.split_word(split)} {view.metric_label(metric)}"
        for axes, drawn, word in zip((left, *right), (losses, values), words, strict=False):
            axes.set(xlabel="epoch" if per_epoch else "step", ylabel=word)
            whole_ticks(axes)
            scale_y(axes, drawn, held=axes is left or not view.higher_is_better)
            if axes.get_yscale() == "log":
                end_above_start(axes, drawn)
        handles, labels = left.get_legend_handles_labels()
        axis = axis_name(view.axes[0].path) if len(view.axes) == 1 else ""
        figure.legend(handles, labels, loc="outside right center", title=axis, title_fontsize=9)
        layout.headline(figure, _title(view))
        return figure, f"Training loss (moving mean){' and the deciding metric' if measured else ''} over training" + (
            f", for {len(shown)} of {len(view.settings)} settings." if len(shown) < len(view.settings) else "."
        )


def _marker(values: np.ndarray) -> dict[str, Any]:
    """Of a curve that has one point a marker: a line through it alone cannot be seen."""
    return {"marker": "o", "ms": 5} if len(values) == 1 else {}


def _label(view: SweepView, setting: Setting) -> str:
    """The setting's values; the axis is named above them if there is only one."""
    if len(view.axes) == 1:
        return label(view.axes[0].brief(setting.overrides[view.axes[0].path]))
    return view.label(setting.overrides)


def _title(view: SweepView) -> str:
    best = view.chosen("best")
    if best is None:
        return "How each setting learns"
    return f"How each setting learns; {view.label(best.overrides)} ends best"
