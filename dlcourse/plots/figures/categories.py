"""Sweeps without an axis to draw a curve along: named alternatives side by side, and many axes one by one."""

import numpy as np
from matplotlib.figure import Figure

from dlcourse.plots import layout, style
from dlcourse.plots.curves import geometric, log_x, log_y, wants_log
from dlcourse.plots.figures.heat_map import title_of_best, two_axes
from dlcourse.plots.plot import Plot
from dlcourse.plots.sweep_view import Axis, SweepView
from dlcourse.plots.text import axis_label, clip
from dlcourse.text import SPLITS, canonical, show_value


class Categories(Plot):
    """One row for each value of the only axis, one mark for each split."""

    kind, name, order = "sweep", "categories", 118
    most_rows = 30

    def applies(self, view: SweepView) -> bool:
        if len(view.axes) != 1 or view.axes[0].numeric or len(view.settings) > self.most_rows:
            return False
        return any(np.isfinite(view.values(split, view.shown_metric)).any() for split in SPLITS)

    def draw(self, view: SweepView) -> tuple[Figure, str]:
        axis, metric = view.axes[0], view.shown_metric
        names = [clip(show_value(setting.overrides.get(axis.path)), 32) for setting in view.settings]
        figure = style.canvas(height=max(3.0, 1.9 + 0.36 * len(names)))
        axes = figure.subplots()
        rows = np.arange(len(names))[::-1]
        drawn = []
        splits = [split for split in SPLITS if np.isfinite(view.values(split, metric)).any()]
        for place, split in enumerate(splits):
            values, errors = view.values(split, metric), view.errors(split, metric)
            look = style.SPLITS[split]
            axes.errorbar(
                np.where(np.isfinite(values), values, np.nan),
                rows + 0.16 * ((len(splits) - 1) / 2 - place),
                xerr=errors if np.isfinite(errors).any() else None,
                ls="",
                marker=look.marker,
                ms=7,
                color=look.color,
                capsize=3,
                label=look.label,
            )
            drawn.append(values)
        if wants_log(drawn):
            log_x(axes)
        axes.set_yticks(rows, names)
        axes.set_ylim(-0.6, len(names) - 0.4)
        axes.set_ylabel(axis_label(axis.path))
        axes.set_xlabel(view.metric_label(metric))
        layout.legend(axes)
        layout.headline(figure, title_of_best(view))
        bars = any(setting.se for setting in view.settings)
        return figure, "One row for each alternative" + ("; bars are one standard error." if bars else ".")


class Effects(Plot):
    """The selected metric against each axis in turn, all settings as points: random search, or three axes and more."""

    kind, name, order = "sweep", "effects", 119
    most_panels = 9

    def applies(self, view: SweepView) -> bool:
        if len(view.axes) < 2 or two_axes(view) is not None:
            return False
        return bool(np.isfinite(view.values(view.select[1], view.shown_metric)).sum() > 1)

    def draw(self, view: SweepView) -> tuple[Figure, str]:
        shown = view.axes[: self.most_panels]
        values = view.values(view.select[1], view.shown_metric)
        figure, cells = layout.panels(len(shown), height=3.0, sharey=True)
        best = view.chosen("best")
        for axes, axis in zip(cells, shown, strict=True):
            place = _places(view, axis)
            axes.scatter(place, values, s=26, color=style.FIT, alpha=0.75, linewidths=0)
            at = next((index for index, setting in enumerate(view.settings) if setting is best), None)
            if at is not None:
                axes.plot(place[at], values[at], "o", ms=13, mfc="none", mec=style.INK, mew=1.6)
            if wants_log([values]):
                log_y(axes)
            if not axis.numeric:
                names = [show_value(value) for value in axis.values]
                turned = sum(map(len, names)) > 24
                axes.set_xticks(
                    range(len(names)), names, rotation=40 if turned else 0, ha="right" if turned else "center"
                )
                axes.set_xlim(-0.6, len(names) - 0.4)
            else:
                if geometric(axis.values):
                    log_x(axes)
                if len(axis.values) <= 6:
                    axes.set_xticks(sorted(axis.values), [show_value(value) for value in sorted(axis.values)])
                    axes.minorticks_off()
            axes.set_xlabel(axis_label(axis.path))
        split = style.split_word(view.select[1])
        for axes in cells:
            spec = axes.get_subplotspec()
            if spec is not None and spec.is_first_col():
                axes.set_ylabel(f"{split} {view.metric_label(view.shown_metric)}")
        layout.headline(figure, title_of_best(view))
        return figure, "Each point is one setting, the ringed one the best; a panel with a slope names what matters."


def _places(view: SweepView, axis: Axis) -> np.ndarray:
    if axis.numeric:
        return np.array([float(setting.overrides.get(axis.path, np.nan)) for setting in view.settings])
    index = {canonical(value): place for place, value in enumerate(axis.values)}
    return np.array([index.get(canonical(setting.overrides.get(axis.path)), np.nan) for setting in view.settings])
