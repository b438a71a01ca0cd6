"""How much of the gradient arrives at the earlier steps of a recurrence, as ``train.watch`` saw it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dlcourse.plots import layout, style
from dlcourse.plots.curves import log_y, whole_ticks
from dlcourse.plots.plot import Plot
from dlcourse.plots.reading import as_dict, as_float
from dlcourse.plots.run_view import RunView
from dlcourse.plots.sweep_view import SweepView, spread
from dlcourse.plots.text import clip, number

MAX_LINES = 8
CAPTION = "The norm of the gradient of the loss with respect to the state, over the steps back from the last one"


def norms(look: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """By state, ``h`` and an LSTM's ``c``, the norms (T,) of the last layer of the first recurrence in a ``watch``
    line; empty where it has none."""
    for facts in as_dict(look.get("layers")).values():
        found = as_dict(as_dict(facts).get("through_time"))
        names = [name for name in found if name.startswith("h_l")]
        if names:
            last = names[-1].removeprefix("h")
            return {state: np.array(found[state + last], dtype=float) for state in "hc" if state + last in found}
    return {}


def kept(look: Mapping[str, Any]) -> float:
    """Which part of the gradient at the last step arrives at the first."""
    values = norms(look).get("h", np.zeros(0))
    return float(values[0] / values[-1]) if len(values) > 1 and values[-1] > 0 else float("nan")


def draw_norms(axes: Axes, look: Mapping[str, Any], color: Any, label: str) -> None:
    """A line of h against the steps back; a dashed one of c."""
    for state, values in norms(look).items():
        back, dashed = np.arange(len(values))[::-1], state == "c"
        values = np.where(values > 0, values, np.nan)
        more = {"ls": "--", "lw": 1.1, "label": f"{label}: cell"} if dashed else {"label": label}
        axes.plot(back, values, color=color, **more)


def finish(axes: Axes, looks: list[Mapping[str, Any]]) -> None:
    if any((values > 0).any() for look in looks for values in norms(look).values()):
        log_y(axes)
    whole_ticks(axes)
    axes.set(xlabel="steps back from the last, T - t", ylabel="norm of the gradient at the state")


class GradientsThroughTime(Plot):
    """In the course of training: a line for each look."""

    kind, name, order = "run", "through_time", 43

    def applies(self, view: RunView) -> bool:
        return any(len(norms(look).get("h", ())) > 1 for look in view.history.watch)

    def draw(self, view: RunView) -> tuple[Figure, str]:
        looks = [look for look in view.history.watch if norms(look)]
        shown = spread(looks, MAX_LINES)
        figure, axes = style.subplots(height=4.2)
        for look, color in zip(shown, style.line_colors(len(shown), ramp=True), strict=True):
            draw_norms(axes, look, color, f"step {number(as_float(look.get('step')))}")
        finish(axes, shown)
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8.5)
        steps = len(norms(looks[0])["h"]) - 1
        first, last = (number(kept(look), 2) for look in (looks[0], looks[-1]))
        layout.headline(figure, f"Of the gradient {first} arrives {steps} steps back at the start, {last} at the end")
        return figure, f"{CAPTION}; a line for each look of train.watch, the first dark."


class GradientsThroughTimeOfSettings(Plot):
    """A line for each setting, at the start of training and at its end."""

    kind, name, order = "sweep", "gradients_through_time", 141

    def applies(self, view: SweepView) -> bool:
        if not as_dict(view.config.get("train")).get("watch"):  # else every point's history would be read
            return False
        return any(GradientsThroughTime().applies(run) for run in view.first_runs())

    def draw(self, view: SweepView) -> tuple[Figure, str]:
        short = [view.telling(each, but="optimizer") for each in view.settings]
        labels = short if len(set(short)) == len(short) else [view.telling(each) for each in view.settings]
        named = zip(labels, view.settings, strict=True)
        found = [(label, view.run(each.points[0])) for label, each in named if each.points]
        lines = [(label, [look for look in run.history.watch if norms(look)]) for label, run in found if run]
        lines = spread([(label, looks) for label, looks in lines if looks], MAX_LINES)
        figure = style.canvas(style.WIDE, 4.6)
        cells = figure.subplots(1, 2, sharey=True)
        for axes, title, place in zip(cells, ("before the first step", "at the end of training"), (0, -1), strict=True):
            for (label, looks), color in zip(lines, style.line_colors(len(lines), ramp=False), strict=True):
                draw_norms(axes, looks[place], color, label)
            finish(axes, [looks[place] for _, looks in lines])
            layout.panel_title(axes, title)
        cells[1].set_ylabel("")
        figure.legend(*cells[0].get_legend_handles_labels(), loc="outside right center")
        layout.headline(figure, _title(lines))
        return figure, f"{CAPTION}, with the first training batch; a line is a setting, dashed that of an LSTM's cell."


def _title(lines: list[tuple[str, list[Mapping[str, Any]]]]) -> str:
    shares = [(kept(looks[0]), label, len(norms(looks[0])["h"]) - 1) for label, looks in lines]
    shares = [each for each in shares if np.isfinite(each[0])]
    if not shares:
        return "Gradients through time"
    words = [f"{number(share, 2)} ({clip(label, 30)})" for share, label, _ in (min(shares), max(shares))]
    return f"Of the gradient at the start {words[0]} to {words[1]} arrives {shares[0][2]} steps back"
