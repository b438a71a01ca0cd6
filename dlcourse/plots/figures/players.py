"""Two players: the cost of each, and how well they are told apart, over the course of training."""

from math import log

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dlcourse.plots import layout, style
from dlcourse.plots.curves import decimate, whole_ticks
from dlcourse.plots.figures.metric_curves import PLAYERS, SCORES, curves_of, of_players
from dlcourse.plots.plot import Plot
from dlcourse.plots.run_view import RunView
from dlcourse.plots.text import number

WITH_PROBABILITIES = "non_saturating", "minimax"
LABELS = {
    "discriminator": "discriminator",
    "generator": "generator",
    "score_real": "inputs of the data",
    "score_drawn": "drawn inputs",
}


class Players(Plot):
    kind, name, order = "run", "players", 41

    def applies(self, view: RunView) -> bool:
        return of_players(view.history.metric_names()) and bool(curves_of(view, PLAYERS[0]))

    def draw(self, view: RunView) -> tuple[Figure, str]:
        split = next(split for split in ("val", "train", "test") if split in curves_of(view, PLAYERS[0]))
        per_epoch = view.history.steps_per_epoch()
        figure, cells = layout.panels(2, height=3.2)
        for axes, names, label in zip(cells, (PLAYERS, SCORES), ("cost", "mean score D"), strict=True):
            for place, name in enumerate(names):
                steps, values = view.history.metric(split, name)
                color, marker = style.class_look(place)
                marker = marker if len(steps) <= 25 else ""
                along = decimate(steps / (per_epoch or 1), values)
                axes.plot(*along, color=color, marker=marker, ms=4, label=LABELS[name])
            axes.set(xlabel="epoch" if per_epoch else "step", ylabel=label)
            whole_ticks(axes)
        probable = dict(view.config.get("model") or {}).get("loss", "non_saturating") in WITH_PROBABILITIES
        if probable:
            _even(cells[0])
        for axes in cells:
            layout.legend(axes)
        last = [number(view.history.metric(split, name)[1][-1], 3) for name in PLAYERS]
        words = f"at the end the discriminator's cost is {last[0]}, the generator's {last[1]}"
        layout.headline(figure, f"{view.model}: {words}")
        caption = f"Measured on the {style.split_word(split)} split."
        return figure, caption + probable * (
            " Dashed: the discriminator's cost where it cannot tell drawn inputs from those of the data, 2 log 2."
        )


def _even(axes: Axes) -> None:
    if np.isfinite(axes.get_ylim()).all():
        axes.axhline(2 * log(2), color=style.GREY, lw=1.2, ls=style.DASHES, zorder=1)
