"""What a net with one input adds up: the curve of each hidden unit, and their sum over the data."""

import numpy as np
from matplotlib.figure import Figure

from dlcourse.plots import layout, style
from dlcourse.plots.curves import span
from dlcourse.plots.figures.fit import draw_fit, has_curve, off_by
from dlcourse.plots.plot import Plot
from dlcourse.plots.run_view import RunView
from dlcourse.plots.text import named


class Pieces(Plot):
    kind, name, order = "run", "pieces", 11

    def applies(self, view: RunView) -> bool:
        pieces = view.predictions.get("curve_pieces")
        return has_curve(view) and pieces is not None and pieces.shape[:1] == view.predictions["curve_x"].shape[:1]

    def draw(self, view: RunView) -> tuple[Figure, str]:
        x, pieces = view.predictions["curve_x"].ravel(), view.predictions["curve_pieces"]
        order = np.argsort(x, kind="stable")
        x, units, rest = x[order], pieces[order, :-1], pieces[order, -1]
        figure = style.canvas(style.WIDE, 4.2)
        left, right = figure.subplots(1, 2, sharex=True)
        # Dark to light by where a unit bends the sum, so that neighbors have neighboring colors.
        bends = np.abs(np.diff(units, 2, axis=0)).argmax(axis=0)
        colors = style.line_colors(units.shape[1], ramp=True)
        for unit, color in zip(units.T[np.argsort(bends, kind="stable")], colors, strict=True):
            left.plot(x, unit, color=color, lw=1.1, alpha=0.85)
        left.plot(x, rest, color=style.INK, lw=1.6, ls=style.DASHES, label="constant" if _flat(rest) else "all others")
        limits = span([units, rest])
        if limits:
            left.set_ylim(*limits)
        draw_fit(right, view)
        left.set(xlabel=named(*view.feature(0)), ylabel="added to the output")
        right.set(xlabel=named(*view.feature(0)), ylabel=named(*view.target))
        layout.legend(left)
        layout.legend(right)
        count = units.shape[1]
        units_in_words = "One hidden unit" if count == 1 else f"{count} hidden units and their sum"
        layout.headline(figure, f"{units_in_words}; {off_by(view)}")
        return figure, "Left what each unit of the last hidden layer adds to the output, right their sum over the data."


def _flat(values: np.ndarray) -> bool:
    return bool(np.ptp(values) <= 1e-4 * max(1.0, float(np.abs(values).max())))
