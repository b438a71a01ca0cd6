"""What ``train.watch`` saw at the start of training, layer by layer: one line for each setting of a sweep."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dlcourse.plots import layout, style
from dlcourse.plots.curves import log_y, whole_ticks
from dlcourse.plots.figures.heat_map import two_axes
from dlcourse.plots.figures.layers import mean_gradient
from dlcourse.plots.plot import Plot
from dlcourse.plots.reading import as_dict, as_float
from dlcourse.plots.sweep_view import Axis, Setting, SweepView, spread
from dlcourse.plots.text import axis_name, clip, label, number
from dlcourse.text import show_value

Value = Callable[[Mapping[str, Any]], float]


def _spread_of_activation(facts: Mapping[str, Any]) -> float:
    return as_float(facts.get("std")) if "dead" in facts else float("nan")


ROWS: tuple[tuple[str, Value], ...] = (
    ("gradient of a weight (root mean square)", mean_gradient),
    ("standard deviation of activations", _spread_of_activation),
)


class LayerProfiles(Plot):
    """Gradients and activations against the number of the layer; a column for each value of a second axis."""

    kind, name, order = "sweep", "layers_at_start", 142
    max_lines = 10
    max_columns = 3

    def applies(self, view: SweepView) -> bool:
        if not as_dict(view.config.get("train")).get("watch"):  # else every point's history would be read
            return False
        return sum(len(_profile(view, setting, mean_gradient)) > 1 for setting in view.settings) > 1

    def draw(self, view: SweepView) -> tuple[Figure, str]:
        columns, across = self._columns(view)
        rows = [row for row in ROWS if any(len(_profile(view, setting, row[1])) for setting in view.settings)]
        figure = style.canvas(style.WIDE, 3.2 * len(rows) + 0.7)
        cells = figure.subplots(len(rows), len(columns), sharey="row", squeeze=False)
        for column, (title, settings) in enumerate(columns):
            for row, (words, value) in enumerate(rows):
                axes = cells[row, column]
                _draw(axes, view, settings, across, value)
                axes.set_ylabel(words if column == 0 else "")
            cells[-1, column].set_xlabel("layer")
            if title:
                layout.panel_title(cells[0, column], title)
        handles, labels = max((axes.get_legend_handles_labels() for axes in cells[0]), key=lambda found: len(found[0]))
        legend_title = axis_name(across.path) if across else ""
        figure.legend(handles, labels, loc="outside right center", title=legend_title, title_fontsize=9)
        layout.headline(figure, _title(view))
        drawn = sum(len(settings) for _, settings in columns)
        left_out = f"; {len(view.settings) - drawn} settings are left out" if drawn < len(view.settings) else ""
        return figure, f"Before the first step, with the first training batch; a line is a setting{left_out}."

    def _columns(self, view: SweepView) -> tuple[list[tuple[str, list[Setting]]], Axis | None]:
        """Titles and settings of the columns, and the axis that tells the lines of one apart."""
        aside, across = sorted(two_axes(view) or (), key=lambda axis: (axis.numeric, len(axis.values))) or (None, None)
        if aside and across and len(aside.values) <= self.max_columns:
            groups = [(show_value(value), aside.settings_at(value, view.settings)) for value in aside.in_order]
            return [(f"{axis_name(aside.path)} {clip(name)}", self._shown(own, across)) for name, own in groups], across
        only = view.axes[0] if len(view.axes) == 1 else None
        return [("", self._shown(view.settings, only))], only

    def _shown(self, settings: Sequence[Setting], across: Axis | None) -> list[Setting]:
        in_order = across.sorted(settings, lambda each: each.overrides) if across and across.numeric else settings
        return spread(in_order, self.max_lines)


def _profile(view: SweepView, setting: Setting, value: Value) -> np.ndarray:
    """The value of each layer that has one, in order, of the first look of the setting's first point."""
    run = view.run(setting.points[0]) if setting.points else None
    looks = run.history.watch if run else []
    layers = as_dict(looks[0].get("layers")) if looks else {}
    values = np.array([value(as_dict(facts)) for facts in layers.values()], dtype=float)
    return values[np.isfinite(values)]


def _draw(axes: Axes, view: SweepView, settings: Sequence[Setting], across: Axis | None, value: Value) -> None:
    in_order = across is not None and (across.numeric or isinstance(across.values[0], list))
    some = False
    for setting, color in zip(settings, style.line_colors(len(settings), ramp=in_order), strict=True):
        profile = _profile(view, setting, value)
        words = show_value(setting.overrides.get(across.path)) if across else view.label(setting.overrides)
        profile = np.where(profile > 0, profile, np.nan)
        some |= bool(np.isfinite(profile).any())
        shorter_on_top = 3 - len(profile) / 1000  # equal first weights give equal lines as far as the shorter one goes
        places, name = np.arange(1, len(profile) + 1), label(clip(words))
        axes.plot(places, profile, color=color, marker="o", ms=3.5, label=name, zorder=shorter_on_top)
    if some:
        log_y(axes)
    whole_ticks(axes)


def _title(view: SweepView) -> str:
    """The settings whose first layer gets the least and the most of the last one's gradient."""
    found = []
    for setting in view.settings:
        gradients = _profile(view, setting, mean_gradient)
        if len(gradients) > 1 and gradients[-1] > 0:
            found.append((float(gradients[0] / gradients[-1]), setting))
    if not found:
        return "Gradients and activations of the layers at the start"
    least, most = (choose(found, key=lambda pair: pair[0]) for choose in (min, max))
    words = [
        f"{number(ratio, 2)} times ({clip(view.label(setting.overrides), 40)})" for ratio, setting in (least, most)
    ]
    return f"At the start the first layer gets {words[0]} to {words[1]} the last one's gradient"
