"""What ``train.watch`` saw of each layer in the course of training."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dlcourse.plots import layout, style
from dlcourse.plots.curves import log_y, whole_ticks
from dlcourse.plots.plot import Plot
from dlcourse.plots.reading import as_dict, as_float
from dlcourse.plots.run_view import RunView
from dlcourse.plots.text import number

Look = Mapping[str, Mapping[str, Any]]
_SHOWN = 8  # lines in a panel


def mean_gradient(facts: Mapping[str, Any]) -> float:
    return of_weights(facts, "gradient") / max(as_float(facts.get("size")), 1.0) ** 0.5


def of_weights(facts: Mapping[str, Any], key: str) -> float:
    """A value of a layer that multiplies by weights; a normalization's gains and an embedding are of another kind."""
    other = any(word in str(facts.get("kind")) for word in ("Norm", "Embedding"))
    return float("nan") if other else as_float(facts.get(key))


PANELS: tuple[tuple[str, str, Callable[[Mapping[str, Any]], float], Literal["log", "linear", "share"]], ...] = (
    ("gradient", "gradient of a weight (root mean square)", mean_gradient, "log"),
    ("update", "update / weights (norms)", lambda facts: of_weights(facts, "ratio"), "log"),
    ("spread of outputs", "standard deviation of outputs", lambda facts: of_weights(facts, "std"), "log"),
    ("mean of outputs", "mean of outputs", lambda facts: of_weights(facts, "mean"), "linear"),
    ("dead units", "share of units that never change", lambda facts: as_float(facts.get("dead")), "share"),
)
"""Title, label of the y axis, value, and its scale."""


class Layers(Plot):
    kind, name, order = "run", "layers", 44

    def applies(self, view: RunView) -> bool:
        return len(view.history.watch) > 1

    def draw(self, view: RunView) -> tuple[Figure, str]:
        steps = np.array([as_float(event.get("step")) for event in view.history.watch])
        looks: list[Look] = [as_dict(event.get("layers")) for event in view.history.watch]
        shown = [each for each in PANELS if len(_curves(looks, each[2]))]
        figure, cells = layout.panels(len(shown), columns=2, height=3.1)
        for axes, (title, label, value, scale) in zip(cells, shown, strict=True):
            layout.panel_title(axes, title)
            _panel(axes, steps, _curves(looks, value), scale)
            axes.set(xlabel="step", ylabel=label)
            whole_ticks(axes)
        layout.headline(figure, _title(looks))
        return figure, (
            "Each line is a layer, the first ones dark, the last ones light: at each look what one more step would do "
            "with the first training batch. An update of about 0.001 of the weights is usual."
        )


def _curves(looks: list[Look], value: Callable[[Mapping[str, Any]], float]) -> dict[str, np.ndarray]:
    """By layer the value at each look, of layers that have one."""
    names = list(dict.fromkeys(name for look in looks for name in look))
    curves = {name: np.array([value(as_dict(look.get(name))) for look in looks]) for name in names}
    return {name: values for name, values in curves.items() if np.isfinite(values).any()}


def _panel(axes: Axes, steps: np.ndarray, curves: dict[str, np.ndarray], scale: str) -> None:
    names = list(curves)
    if len(names) > _SHOWN:
        names = [names[i] for i in np.linspace(0, len(names) - 1, _SHOWN).round().astype(int)]
    for name, color in zip(names, style.line_colors(len(names), ramp=True), strict=True):
        values = np.where(curves[name] > 0, curves[name], np.nan) if scale == "log" else curves[name]
        axes.plot(steps, values, color=color, marker="o" if len(steps) <= 25 else "", ms=3, label=name)
    if scale == "log" and any((curves[name] > 0).any() for name in names):
        log_y(axes)
    elif scale == "share":
        axes.set_ylim(-0.03, 1.03)
    axes.legend(fontsize=7.5, loc="best")


def _title(looks: list[Look]) -> str:
    last = looks[-1]
    dead = {name: as_float(facts.get("dead")) for name, facts in last.items() if as_float(facts.get("dead")) >= 0.2}
    if dead:
        name = max(dead, key=lambda each: dead[each])
        return f"At the end {dead[name]:.0%} of the units of {name} are dead"
    gradients = [each for each in _curves(looks[:1], mean_gradient).values() if each[0] > 0]
    if len(gradients) > 1:
        share = float(gradients[0][0] / gradients[-1][0])
        words = f"{number(1 / share, 2)} times less" if share < 1 else f"{number(share, 2)} times more"
        return f"At the start the first layer gets {words} gradient than the last"
    return "Gradients, updates and outputs of the layers"
