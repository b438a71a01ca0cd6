"""Every metric over the course of training, training and validation side by side."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dlcourse.plots import layout, style
from dlcourse.plots.curves import cap, decimate, scale_y, whole_ticks
from dlcourse.plots.plot import Plot
from dlcourse.plots.run_view import RunView
from dlcourse.plots.text import capital, number
from dlcourse.text import SPLITS

Curves = dict[str, tuple[np.ndarray, np.ndarray]]


PLAYERS, SCORES = ("discriminator", "generator"), ("score_real", "score_drawn")
"""What two players are measured by; a plot of its own shows them side by side."""


def of_players(metrics: Sequence[str]) -> bool:
    """Whether the metrics of a run are those of two players, and more perhaps."""
    return {*PLAYERS, *SCORES} <= {*metrics}


def _shown(view: RunView) -> list[str]:
    """The metrics whose curves say how good a model is."""
    names = view.history.metric_names()
    return [name for name in names if name not in ("loss", *PLAYERS, *SCORES)] if of_players(names) else names


def curves_of(view: RunView, metric: str) -> Curves:
    """Steps and values of a metric for each split that was evaluated at least twice."""
    found = {split: view.history.metric(split, metric) for split in SPLITS}
    return {split: pair for split, pair in found.items() if np.isfinite(pair[1]).sum() > 1}


def best_of(values: np.ndarray, higher: bool) -> int:
    """Where the best finite value is, the first of equal ones."""
    finite = np.where(np.isfinite(values), values, np.nan)
    return int(np.nanargmax(finite) if higher else np.nanargmin(finite))


class MetricCurves(Plot):
    kind, name, order = "run", "metrics", 42
    max_panels = 6

    def applies(self, view: RunView) -> bool:
        return any(curves_of(view, metric) for metric in _shown(view))

    def draw(self, view: RunView) -> tuple[Figure, str]:
        every = {metric: curves_of(view, metric) for metric in _shown(view)}
        shown = dict([(metric, curves) for metric, curves in every.items() if curves][: self.max_panels])
        per_epoch = view.history.steps_per_epoch() or 1.0
        figure, cells = layout.panels(len(shown), height=3.0 if len(shown) > 1 else 3.6)
        for axes, (metric, curves) in zip(cells, shown.items(), strict=True):
            self._panel(axes, view, metric, curves, per_epoch)
        layout.legend(cells[0])
        layout.headline(figure, self._title(view, shown))
        caption = "Metrics measured on whole splits during training; the ring marks the best on validation."
        return figure, caption if any("val" in curves for curves in shown.values()) else caption.split(";")[0] + "."

    def _panel(self, axes: Axes, view: RunView, metric: str, curves: Curves, per_epoch: float) -> None:
        for split, (steps, values) in curves.items():
            look = style.SPLITS[split]
            marker = look.marker if len(steps) <= 25 else ""
            axes.plot(*decimate(steps / per_epoch, values), color=look.color, marker=marker, ms=4, label=look.label)
        if "val" in curves:
            steps, values = curves["val"]
            at = best_of(values, view.higher_is_better(metric))
            axes.plot(steps[at] / per_epoch, values[at], "o", ms=11, mfc="none", mec=style.INK, mew=1.3, zorder=5)
        scale_y(axes, [values for _, values in curves.values()], held=not view.higher_is_better(metric))
        if view.status == "diverged" and axes.get_yscale() == "log":
            cap(axes, [values for _, values in curves.values()])
        axes.set(xlabel="epoch" if view.history.steps_per_epoch() else "step", ylabel=view.metric_label(metric))
        whole_ticks(axes)

    def _title(self, view: RunView, shown: dict[str, Curves]) -> str:
        metric, curves = next(((m, c) for m, c in shown.items() if "val" in c), next(iter(shown.items())))
        split = "val" if "val" in curves else next(iter(curves))
        steps, values = curves[split]
        at = best_of(values, view.higher_is_better(metric))
        measured = view.metric_name(metric)
        name, trained = f"{style.split_word(split)} {measured}", self._training(view, curves, split, steps[at])
        per_epoch = view.history.steps_per_epoch()
        when = f"epoch {number(steps[at] / per_epoch, 3)}" if per_epoch else f"step {number(steps[at])}"
        if view.status == "diverged":
            return capital(f"{name} was best, {number(values[at], 3)}, at {when}; then training diverges")
        wrong = next((words for rule, words in _WORDS.items() if rule in view.advice), None)
        if wrong is not None and trained is not None:
            last = number(curves["train"][1][-1], 3), number(values[-1], 3)
            return f"{wrong}: training {measured} {last[0]}, {style.split_word(split)} {last[1]}"
        # Turned: the way back from the best is a fair part of the way there.
        way = np.nanmax(values) - np.nanmin(values)
        if at < len(values) - 1 and abs(values[-1] - values[at]) > 0.1 * way:
            return capital(f"{name} is best, {number(values[at], 3)} at {when}, and gets worse from there")
        beside = "" if trained is None else f" (training {number(trained, 3)})"
        return capital(f"{name} reaches {number(values[at], 3)}{beside} at {when}")

    def _training(self, view: RunView, curves: Curves, split: str, step: float) -> float | None:
        """The metric on the training split at that step, where another one is spoken of."""
        if split == "train" or "train" not in curves:
            return None
        steps, values = curves["train"]
        found = values[steps == step]
        return float(found[-1]) if len(found) and np.isfinite(found[-1]) else None


_WORDS = {
    "learns_nothing": "Nothing was learned",
    "labels_look_shuffled": "Learned by heart, the labels look shuffled",
    "overfitting": "Overfitting",
}
"""What a title says where the rules found it."""
