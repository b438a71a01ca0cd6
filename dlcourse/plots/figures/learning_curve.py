"""Error against the number of training samples."""

import numpy as np
from matplotlib.figure import Figure

from dlcourse.plots import layout
from dlcourse.plots.figures.error_curve import draw_splits, measured_twice, ordered, scale
from dlcourse.plots.plot import Plot, seen
from dlcourse.plots.sweep_view import Axis, Setting, SweepView
from dlcourse.plots.text import SAMPLE_PATHS, axis_name, capital
from dlcourse.text import SPLITS, show_value


class LearningCurve(Plot):
    """Error against the number of training samples; one panel for each value of a second axis, if there is one."""

    kind, name, order = "sweep", "learning_curve", 112
    max_panels = 4

    def applies(self, view: SweepView) -> bool:
        samples, other = self._axes(view)
        if samples is None or not samples.numeric or len(view.axes) > 2:
            return False
        return measured_twice(view) and (other is None or len(other.values) <= self.max_panels)

    def _axes(self, view: SweepView) -> tuple[Axis | None, Axis | None]:
        samples = next((axis for axis in view.axes if axis.path in SAMPLE_PATHS), None)
        return samples, next((axis for axis in view.axes if axis is not samples), None)

    def draw(self, view: SweepView) -> tuple[Figure, str]:
        samples, other = self._axes(view)
        samples = seen(samples)
        families = _families(view, samples, other)
        figure, cells = layout.panels(len(families), height=3.6 if len(families) == 1 else 3.0, sharey=True)
        drawn = []
        for axes, family in zip(cells, families.values(), strict=True):
            drawn += draw_splits(axes, view, samples, family)
        for axes, label in zip(cells, families, strict=True):
            scale(axes, view, samples, drawn)
            layout.panel_title(axes, label)
            axes.label_outer()
        layout.legend(cells[0]) if len(cells) == 1 else layout.shared_legend(figure, cells[0])
        layout.headline(figure, _learning_title(view, samples, families))
        caption = (
            "More training samples: training error rises, error on new data falls, and the gap between them closes."
        )
        return figure, caption


def _families(view: SweepView, samples: Axis, other: Axis | None) -> dict[str, list[Setting]]:
    """The settings of each panel, by its title; without those that all failed."""
    if other is None:
        return {"": ordered(samples, view.settings)}
    families = {
        f"{axis_name(other.path)} {show_value(value)}": ordered(samples, other.settings_at(value, view.settings))
        for value in other.values
    }
    measured = {label: [view.values(split, settings) for split in SPLITS] for label, settings in families.items()}
    return {label: each for label, each in families.items() if np.isfinite(np.concatenate(measured[label])).any()}


def _learning_title(view: SweepView, samples: Axis, families: dict[str, list[Setting]]) -> str:
    gains = []
    for settings in families.values():
        values = view.values(view.select[1], settings)
        finite = np.flatnonzero(np.isfinite(values))
        if len(finite) > 1:
            gains.append((values[finite[0]], values[finite[-1]], settings[finite[0]], settings[finite[-1]]))
    if not gains:
        return capital(f"{view.metric_name(view.shown_metric)} against training samples")
    better = [last > first if view.higher_is_better else last < first for first, last, _, _ in gains]
    if len(gains) == 1:
        first, last, few, many = gains[0]
        verb = "rises" if last > first else "falls"
        low, high = (f"{setting.overrides[samples.path]:,}" for setting in (few, many))
        return capital(f"{view.selected_name} {verb} from {first:.3g} with {low} samples to {last:.3g} with {high}")
    return capital(f"{view.selected_name} {'improves' if all(better) else 'changes'} with more training samples")
