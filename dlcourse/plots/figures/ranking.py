"""How well the probability of a class ranks the samples: the ROC curve and the precision-recall curve."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dlcourse.metrics.average_precision import AveragePrecision
from dlcourse.metrics.class_scores import log_odds
from dlcourse.metrics.roc_auc import ROCAUC
from dlcourse.plots import layout, style
from dlcourse.plots.figures.confusion import known_classes
from dlcourse.plots.plot import Plot
from dlcourse.plots.run_view import RunView
from dlcourse.plots.text import clip

MIN_SAMPLES, MAX_CLASSES = 20, 20
MAX_NAMED = 6
"""Of more classes only so many have a color and a name, the worst; the others are pale."""


def passed(scores: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many positive and other samples have at least each score that occurs, from the highest down, (M,) both."""
    _, place, count = np.unique(-scores, return_inverse=True, return_counts=True)
    hits = np.cumsum(np.bincount(place, positive, minlength=len(count)))
    return hits, np.cumsum(count) - hits


def roc_points(scores: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates at each threshold, from (0, 0) to (1, 1)."""
    hits, false = passed(scores, positive)
    return np.append(0, false / false[-1]), np.append(0, hits / hits[-1])


def precision_recall_points(scores: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision at each threshold, from the highest score down; before them, from recall 0, the first
    precision."""
    hits, false = passed(scores, positive)
    precision = hits / (hits + false)
    return np.append(0, hits / hits[-1]), np.append(precision[0], precision)


class Ranking(Plot):
    """One curve for each class against the rest; of two classes that of the second."""

    kind = "run"
    points: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
    metric: type
    axis_names: tuple[str, str]
    title: str
    caption: str
    drawstyle: str
    """How points are joined, so that the area below is the number: samples of one score come in together."""

    def applies(self, view: RunView) -> bool:
        if not 2 <= known_classes(view) <= MAX_CLASSES:
            return False
        subset = view.splits[view.report_split]
        enough = len(subset.y) >= MIN_SAMPLES and len(np.unique(subset.y)) > 1
        return enough and bool(np.isfinite(subset.output).all())

    def draw(self, view: RunView) -> tuple[Figure, str]:
        subset = view.splits[view.report_split]
        scores = log_odds(subset.output)
        counts = np.bincount(subset.y, minlength=scores.shape[1])
        of_two = scores.shape[1] == 2
        shown = [1] if of_two else [int(c) for c in np.flatnonzero((counts > 0) & (counts < len(subset.y)))]
        areas = {c: self.metric().of_ranking(scores[:, c], subset.y == c) for c in shown}
        worst = sorted(shown, key=lambda c: areas[c])
        named = set(worst if len(shown) <= MAX_NAMED else worst[: MAX_NAMED // 2])
        figure, axes = style.subplots(height=4.9)
        for c in sorted(shown, key=lambda c: c in named):
            x, y = type(self).points(scores[:, c], subset.y == c)
            color = style.class_look(worst.index(c) if len(shown) > MAX_NAMED else c)[0]
            look: dict[str, Any] = {"color": color, "label": f"{clip(view.class_name(c), 16)}  {areas[c]:.3f}"}
            drawn = look if c in named else {"color": style.tint(style.GREY, 0.5), "lw": 1}
            axes.plot(x, y, drawstyle=self.drawstyle, **drawn)
        self.chance(axes, counts[shown] / len(subset.y))
        axes.set(xlabel=self.axis_names[0], ylabel=self.axis_names[1], xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
        layout.legend(axes)
        low, mean = areas[worst[0]], float(np.mean(list(areas.values())))
        name = clip(view.class_name(worst[0]), 24)
        split = style.split_word(view.report_split)
        title = f"{self.title} of {name}: {low:.3g} ({split})" if of_two else ""
        layout.headline(figure, title or f"{self.title} ({split}): mean {mean:.3g}, least of {name}, {low:.3g}")
        pale = "" if len(named) == len(shown) else " The classes with the least area are named, the others pale."
        return figure, self.caption + pale

    @abstractmethod
    def chance(self, axes: Axes, shares: np.ndarray) -> None:
        """Draw what guessing gives."""


class ROC(Ranking):
    name, order = "roc", 36
    points, metric = staticmethod(roc_points), ROCAUC
    axis_names = "share of the other samples called it wrongly", "share of the class's samples found"
    title, drawstyle = "Area under ROC", "default"
    caption = "Each point is a threshold of the class's probability; dashed: guessing. The numbers are areas."

    def chance(self, axes: Axes, shares: np.ndarray) -> None:
        axes.plot([0, 1], [0, 1], color=style.GREY, lw=1.2, ls=style.DASHES)


class PrecisionRecall(Ranking):
    name, order = "precision_recall", 37
    points, metric = staticmethod(precision_recall_points), AveragePrecision
    axis_names = "recall: share of the class's samples found", "precision: share of those found that is right"
    title, drawstyle = "Average precision", "steps-pre"
    caption = (
        "Each point is a threshold of the class's probability; dashed: guessing, the class's share. Numbers: areas."
    )

    def chance(self, axes: Axes, shares: np.ndarray) -> None:
        axes.axhline(shares.mean(), color=style.GREY, lw=1.2, ls=style.DASHES)
