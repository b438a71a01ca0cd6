"""How a search went: what its trials reached one after another, and which settings matter."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dlcourse.plots import layout, style
from dlcourse.plots.curves import scale_y
from dlcourse.plots.plot import Plot
from dlcourse.plots.sweep_view import SweepView
from dlcourse.plots.text import axis_name, capital


class SearchHistory(Plot):
    """What each trial reached and the best so far; with a pruner beside it the trials' evaluations."""

    kind, name, order = "sweep", "search_history", 115

    def applies(self, view: SweepView) -> bool:
        return bool(view.search.get("trials")) and bool(np.isfinite(_reached(view)[0]).any())

    def draw(self, view: SweepView) -> tuple[Figure, str]:
        values, pruned = _reached(view)
        judged = [each for each in view.search["trials"] if len(each["reports"]) > 1]
        figure, cells = layout.panels(2 if judged else 1, height=3.6, sharey=True)
        trials = np.arange(len(values))
        better = np.fmax if view.higher_is_better else np.fmin
        best = better.accumulate(np.where(pruned, np.nan, values))
        axes = cells[0]
        axes.plot(trials[~pruned], values[~pruned], ls="", marker="o", color=style.FIT, label="trial")
        if pruned.any():
            axes.plot(trials[pruned], values[pruned], ls="", marker="x", color=style.GREY, label="pruned trial")
        axes.step(trials, best, where="post", color=style.SPLITS["val"].color, label="best so far")
        axes.set(xlabel="trial", ylabel=view.selected_label)
        drawn = [values]
        if judged:
            drawn += _evaluations(cells[1], view, pruned)
        scale_y(axes, drawn)
        layout.legend(axes)
        at = int((np.nanargmax if view.higher_is_better else np.nanargmin)(np.where(pruned, np.nan, values)))
        said = f"{view.selected_name} {values[at]:.4g} at trial {at} of {len(values)}"
        layout.headline(figure, capital(f"{said}, {pruned.sum()} pruned" if pruned.any() else said))
        right = "; right: their evaluations, gray those of pruned trials" if judged else ""
        return figure, f"Each trial of the search and the best that was reached so far{right}."


class Importance(Plot):
    """The share of each setting in what makes trials good."""

    kind, name, order = "sweep", "importance", 116

    def applies(self, view: SweepView) -> bool:
        return len(view.search.get("importance") or {}) > 1

    def draw(self, view: SweepView) -> tuple[Figure, str]:
        shares = sorted(view.search["importance"].items(), key=lambda pair: pair[1])
        figure, axes = style.subplots(height=max(2.4, 1.5 + 0.36 * len(shares)))
        axes.barh([axis_name(path) for path, _ in shares], [share for _, share in shares], color=style.FIT)
        axes.set(xlabel="share", xlim=(0, 1))
        path, share = shares[-1]
        layout.headline(figure, f"{capital(axis_name(path))} matters most: {share:.0%}")
        return figure, "How much each setting has to do with a trial being among the best tenth (PED-ANOVA)."


def _reached(view: SweepView) -> tuple[np.ndarray, np.ndarray]:
    """The selected metric of each trial, NaN where there is none, and which of them were pruned."""
    values = np.array([view.metric_at(point.id, view.select[1]) for point in view.points], dtype=float)
    return values, np.array([point.status == "pruned" for point in view.points], dtype=bool)


def _evaluations(axes: Axes, view: SweepView, pruned: np.ndarray) -> list[np.ndarray]:
    found = []
    for trial, gone in zip(view.search["trials"], pruned, strict=False):
        values = np.array([np.nan if value is None else value for _, value, _ in trial["reports"]], dtype=float)
        color = style.GREY if gone else style.FIT
        axes.plot(np.arange(1, len(values) + 1), values, lw=1, marker=".", ms=3, color=color, alpha=0.8)
        found.append(values)
    axes.set_xlabel("evaluation")
    return found
