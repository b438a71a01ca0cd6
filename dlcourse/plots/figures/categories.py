"""Sweeps without an axis to draw a curve along: named alternatives side by side, and many axes one by one."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from dlcourse.plots import layout, style
from dlcourse.plots.curves import geometric, log_x, scale_y, wants_log
from dlcourse.plots.figures.heat_map import title_of_best, two_axes
from dlcourse.plots.plot import Plot
from dlcourse.plots.sweep_view import Axis, SweepView
from dlcourse.plots.text import axis_label, clip
from dlcourse.text import SPLITS, show_value

_LETTER = 0.02
"""About the width of a letter below an axis, as a share of the axis."""


class Categories(Plot):
    """One row for each value of the only axis, one mark for each split."""

    kind, name, order = "sweep", "categories", 118
    max_rows = 30

    def applies(self, view: SweepView) -> bool:
        if len(view.axes) != 1 or view.axes[0].numeric or len(view.settings) > self.max_rows:
            return False
        return any(np.isfinite(view.values(split)).any() for split in SPLITS)

    def draw(self, view: SweepView) -> tuple[Figure, str]:
        axis = view.axes[0]
        names = [clip(axis.brief(setting.overrides.get(axis.path)), 32) for setting in view.settings]
        figure, axes = style.subplots(height=max(3.0, 1.9 + 0.36 * len(names)))
        rows = np.arange(len(names))[::-1]
        drawn = {split: values for split in SPLITS if np.isfinite(values := view.values(split)).any()}
        for place, (split, values) in enumerate(drawn.items()):
            look = style.SPLITS[split]
            axes.errorbar(
                values,
                rows + 0.16 * ((len(drawn) - 1) / 2 - place),
                xerr=view.errors(split),
                ls="",
                marker=look.marker,
                ms=7,
                color=look.color,
                capsize=3,
                label=look.label,
            )
        if wants_log(drawn.values()):
            log_x(axes)
        axes.set_yticks(rows, names)
        axes.set_ylim(-0.6, len(names) - 0.4)
        axes.set(xlabel=view.metric_label(view.shown_metric), ylabel=axis_label(axis.path))
        layout.legend(axes)
        layout.headline(figure, title_of_best(view))
        bars = any(setting.se for setting in view.settings)
        return figure, "One row for each alternative" + ("; bars are one standard error." if bars else ".")


class Effects(Plot):
    """The selected metric against each axis in turn, all settings as points: random search, or three axes and more."""

    kind, name, order = "sweep", "effects", 119
    max_panels = 9

    def applies(self, view: SweepView) -> bool:
        if len(view.axes) < 2 or two_axes(view) is not None:
            return False
        return bool(np.isfinite(view.selected_values).sum() > 1)

    def draw(self, view: SweepView) -> tuple[Figure, str]:
        shown = view.axes[: self.max_panels]
        values = view.selected_values
        figure, cells = layout.panels(len(shown), height=3.0, sharey=True)
        best = view.chosen("best")
        for axes, axis in zip(cells, shown, strict=True):
            places = _places(view, axis)
            axes.scatter(places, values, s=26, color=style.FIT, alpha=0.75, linewidths=0)
            at = next((index for index, setting in enumerate(view.settings) if setting is best), None)
            if at is not None:
                axes.plot(places[at], values[at], "o", ms=13, mfc="none", mec=style.INK, mew=1.6)
            scale_y(axes, [values])
            names = [show_value(value) for value in axis.in_order]
            if not axis.numeric:
                layout.name_x(axes, range(len(names)), names, 40 if sum(map(len, names)) > 24 else 0)
                axes.set_xlim(-0.6, len(names) - 0.4)
            else:
                logarithmic = geometric(axis.values)
                if logarithmic:
                    log_x(axes)
                if len(names) <= 6 and _apart(axis.in_order, names, logarithmic):
                    axes.set_xticks(axis.in_order, names)
                    axes.minorticks_off()
            axes.set_xlabel(axis_label(axis.path))
            spec = axes.get_subplotspec()
            if spec is not None and spec.is_first_col():
                axes.set_ylabel(view.selected_label)
        layout.headline(figure, title_of_best(view))
        return figure, "Each point is one setting, the ringed one the best; a panel with a slope names what matters."


def _apart(values: Sequence[float], names: Sequence[str], logarithmic: bool) -> bool:
    """Whether names below these ascending values leave each other room; what was drawn at random often does not."""
    places = np.log(values) if logarithmic else np.array(values, dtype=float)
    gaps = np.diff(places) / max(places[-1] - places[0], np.finfo(float).tiny)
    lengths = np.array([len(name) + 1 for name in names])
    return bool((gaps >= _LETTER * (lengths[:-1] + lengths[1:]) / 2).all())


def _places(view: SweepView, axis: Axis) -> np.ndarray:
    """Where each setting stands on the axis; NaN where it does not."""
    if axis.numeric:
        return np.array([float(setting.overrides.get(axis.path, np.nan)) for setting in view.settings])
    return np.array([axis.place(setting) for setting in view.settings], dtype=float)
