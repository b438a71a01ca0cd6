"""The reliability diagram: how often a classifier is right where it says how sure it is."""

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from dlcourse.plots import layout, style
from dlcourse.plots.figures.confusion import known_classes
from dlcourse.plots.plot import Plot
from dlcourse.plots.run_view import RunView
from dlcourse.plots.text import percent

MIN_SAMPLES, BINS = 50, 10
CLOSE = 0.02
"""A mean confidence this near to the share right is called right."""


@dataclass(frozen=True)
class Bins:
    """Samples by the probability of the class that they are taken for, in bins of one width; (B,) each.

    Attributes:
        count: how many samples.
        confidence: their mean probability; NaN without samples.
        right: the share of them that is classified correctly; NaN without samples.
    """

    count: np.ndarray
    confidence: np.ndarray
    right: np.ndarray

    @property
    def error(self) -> float:
        """Expected calibration error, sum_b n_b / N |right_b - confidence_b| (Guo et al. 2017)."""
        there = self.count > 0
        gap = np.abs(self.right - self.confidence)[there]
        return float((self.count[there] * gap).sum() / self.count.sum())


def binned(outputs: np.ndarray, labels: np.ndarray, bins: int = BINS) -> Bins:
    """Bins of the confidence max softmax(z), (b / B, (b + 1) / B] each.

    Args:
        outputs: logits (N, C).
        labels: (N,).
    """
    odds = np.exp(outputs.astype(float) - outputs.max(axis=1, keepdims=True))
    confidence = 1 / odds.sum(axis=1)
    right = outputs.argmax(axis=1) == labels
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(place, each, minlength=bins) / count for each in (confidence, right)]
    return Bins(count, *means)


class Calibration(Plot):
    kind, name, order = "run", "calibration", 38

    def applies(self, view: RunView) -> bool:
        if known_classes(view) < 2 or view.facts.get("confidence") != "probability":
            return False
        subset = view.splits[view.report_split]
        return len(subset.y) >= MIN_SAMPLES and bool(np.isfinite(subset.output).all())

    def draw(self, view: RunView) -> tuple[Figure, str]:
        subset = view.splits[view.report_split]
        found = binned(subset.output, subset.y)
        there = found.count > 0
        count, right, confidence = found.count[there], found.right[there], found.confidence[there]
        figure = style.canvas(style.WIDTH, 5.4)
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        axes.plot([0, 1], [0, 1], color=style.INK, lw=1.2, ls=style.DASHES, label="as sure as right")
        color = style.SPLITS[view.report_split].color
        spread = np.sqrt(np.maximum(right * (1 - right), 0.25 / count) / count)
        axes.vlines(confidence, right, confidence, color=style.tint(color, 0.35), lw=6)
        axes.errorbar(confidence, right, yerr=spread, color=color, marker="o", capsize=3, ls="-", label="measured")
        axes.set(ylabel="share classified correctly", ylim=(-0.02, 1.02))
        edges = np.linspace(0, 1, len(found.count) + 1)
        below.bar(edges[:-1], found.count, width=np.diff(edges), align="edge", color=style.tint(color, 0.6), ec="white")
        below.set(xlabel="probability of the class that is named", ylabel="samples", xlim=(-0.01, 1.01))
        layout.legend(axes)
        sure, share = float((count * confidence).sum() / count.sum()), float((count * right).sum() / count.sum())
        split = style.split_word(view.report_split)
        layout.headline(figure, f"{_verdict(sure, share)} ({split}); calibration error {found.error:.2g}")
        bars = "Right as often as sure would lie on the dashed line; bars: one standard error"
        return figure, f"{bars}. The error (ECE) is the mean distance from the line, each sample counted once."


def _verdict(sure: float, share: float) -> str:
    shares = f"{percent(sure)} sure on average, {percent(share)} right"
    if abs(sure - share) <= CLOSE:
        return f"As sure as right: {shares}"
    return f"{'Overconfident' if sure > share else 'Underconfident'}: {shares}"
