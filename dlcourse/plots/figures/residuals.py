"""The residuals of a regression against its predictions, and their distribution."""

import numpy as np
from matplotlib.figure import Figure

from dlcourse.plots import layout, style
from dlcourse.plots.plot import Plot
from dlcourse.plots.run_view import RunView
from dlcourse.plots.text import capital, named, number, with_unit


class Residuals(Plot):
    kind, name, order = "run", "residuals", 20

    def applies(self, view: RunView) -> bool:
        return view.task == "regression" and any(np.isfinite(subset.residuals).any() for subset in view.splits.values())

    def draw(self, view: RunView) -> tuple[Figure, str]:
        figure = style.canvas()
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=[3.2, 1])
        several = len(view.targets) > 1
        shown = (
            _in_spreads(view)
            if several
            else {split: _finite(subset.mean, subset.residuals) for split, subset in view.splits.items()}
        )
        shown = {split: pair for split, pair in shown.items() if len(pair[0])}
        far = _far_off(shown)
        shown = {split: pair for split, pair in shown.items() if split not in dict(far)}
        bins = _edges(shown)
        for split, (predicted, residual) in shown.items():
            look = style.SPLITS[split]
            style.scatter(left, split, predicted, residual, many=view.many)
            right.hist(
                residual, bins=bins, density=True, orientation="horizontal", histtype="step", color=look.color, lw=1.6
            )
        for axes in (left, right):
            axes.axhline(0, color=style.INK, lw=1, ls=style.DASHES)
        name, unit = ("", _SPREADS) if several else view.target
        left.set(xlabel=named(f"predicted {name}".rstrip(), unit), ylabel=named("measured − predicted", unit))
        right.set(xlabel="share", xticks=[])
        right.grid(False)
        layout.legend(left)
        layout.headline(figure, self._title(view, shown))
        return figure, (
            "Each point is one sample; points without pattern about zero, and a histogram centered there, "
            "mean that the model has left nothing systematic unexplained."
        ) + (" Each target counts in its own standard deviations." if several else "") + "".join(
            f" The {split} residuals, {number(size, 2)} (RMS), are far off this scale." for split, size in far
        )

    def _title(self, view: RunView, shown: dict) -> str:
        split = view.selection_split if view.selection_split in shown else next(iter(shown))
        residual = shown[split][1]
        mean, spread = float(residual.mean()), float(residual.std())
        off = " lie off zero" if abs(mean) > spread else ""
        unit = _SPREADS if len(view.targets) > 1 else view.target[1]
        numbers = f"mean {number(mean, 2)}, spread {with_unit(spread, unit)}"
        return capital(f"{style.split_word(split)} residuals{off}: {numbers}")


_SPREADS = "standard deviations"


def _in_spreads(view: RunView) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Predictions and residuals of all targets, of each in its standard deviations (of the first split): their units
    differ."""
    y = next(iter(view.splits.values())).y
    middle, spread = y.mean(axis=0), y.std(axis=0)
    spread = np.where(spread > 0, spread, 1)
    return {
        split: _finite((subset.mean - middle) / spread, subset.residuals / spread)
        for split, subset in view.splits.items()
    }


def _finite(predicted: np.ndarray, residual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    finite = np.isfinite(residual)
    return predicted[finite], residual[finite]


def _far_off(shown: dict) -> list[tuple[str, float]]:
    """Splits whose residuals would flatten all others, as beyond the training data, with their root mean square."""
    sizes = {split: float(np.sqrt(np.mean(residual**2))) for split, (_, residual) in shown.items()}
    limit = 10 * min(sizes.values())
    return [(split, size) for split, size in sizes.items() if split != "train" and size > limit > 0]


def _edges(shown: dict) -> np.ndarray:
    """Edges of the histograms' bins, fewer for few samples."""
    smallest = min(len(residual) for _, residual in shown.values())
    values = np.concatenate([residual for _, residual in shown.values()])
    low, high = float(values.min()), float(values.max())
    if high - low <= 1e-9 * max(abs(low), abs(high)):  # one value, but for rounding
        low, high = low - (0.1 * abs(low) or 1.0), high + (0.1 * abs(high) or 1.0)
    return np.linspace(low, high, int(np.clip(2 * np.sqrt(smallest), 8, 40)) + 1)
