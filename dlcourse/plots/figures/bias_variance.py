"""Where the expected error comes from, over many training sets: bias, variance and noise, and the fits themselves."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes as MplAxes
from matplotlib.figure import Figure

from dlcourse.plots import layout, style
from dlcourse.plots.curves import cap, log_y, span, wants_log
from dlcourse.plots.figures.error_curve import scale_x
from dlcourse.plots.plot import Plot, seen
from dlcourse.plots.reading import as_float
from dlcourse.plots.sweep_view import Axis, Point, SweepView, spread
from dlcourse.plots.text import axis_name, capital, named, number
from dlcourse.text import show_value

TERMS = {
    "bias2": ("bias²", "#0072B2", "o"),
    "variance": ("variance", "#D55E00", "s"),
    "noise": ("noise", "#7A7A7A", ""),
    "expected": ("bias² + variance + noise", style.INK, "D"),
}


Pairs = list[tuple[Point, dict[str, Any]]]


def resampled_points(view: SweepView, task: str) -> Pairs:
    """The points that were resampled, if that was for this task, in the order of the axis where there is one."""
    pairs, axis = view.resampled_points if view.resample.get("task") == task else [], view.numeric_axis
    return pairs if axis is None else axis.sorted(pairs, lambda pair: pair[0].overrides)


def column(pairs: Pairs, key: str) -> np.ndarray:
    """One number of each record; NaN where it is missing."""
    return np.array([as_float(record.get(key)) for _, record in pairs])


class BiasVariance(Plot):
    kind, name, order = "sweep", "bias_variance", 120

    def applies(self, view: SweepView) -> bool:
        return view.numeric_axis is not None and len(resampled_points(view, "regression")) > 1

    def draw(self, view: SweepView) -> tuple[Figure, str]:
        axis, pairs = seen(view.numeric_axis), resampled_points(view, "regression")
        x = np.array([float(point.overrides[axis.path]) for point, _ in pairs])
        terms = {key: column(pairs, key) for key in TERMS}
        # A bias that is below its own standard error is none: it gets a mark, and the line ends before it.
        none = terms["bias2"] <= np.maximum(np.nan_to_num(column(pairs, "bias2_se")), 0)
        terms["bias2"] = np.where(none, np.nan, terms["bias2"])
        # An estimate of zero has no place on a log scale; the line ends instead of falling out of the image.
        terms = {key: np.where(values > 0, values, np.nan) for key, values in terms.items()}
        figure, axes = style.subplots(height=4.4)
        for key, (label, color, marker) in TERMS.items():
            dash, width = style.DASHES if key == "noise" else "-", 2.2 if key == "expected" else 1.8
            axes.plot(x, terms[key], color=color, marker=marker, ls=dash, label=label, lw=width)
        if none.any():
            label, color, marker = TERMS["bias2"]
            axes.plot(
                x[none],
                np.zeros(int(none.sum())),
                marker,
                transform=axes.get_xaxis_transform(),
                color=color,
                mfc="white",
                mew=1.6,
                clip_on=False,
                zorder=6,
                label=f"{label} ≈ 0",
            )
        measured = column(pairs, "mse")
        if np.isfinite(measured).any():
            axes.plot(x, measured, "x", color=style.MARK, ms=8, mew=2, zorder=6, label="measured on new data")
        if wants_log([values[values > 0] for values in terms.values()]):
            log_y(axes)
            cap(axes, [terms["expected"]])
            # A bias of 1e-12 is none: what is a thousand times below the least total would only squeeze the rest.
            floor = 1e-3 * np.nanmin(terms["expected"])
            lowest = np.nanmin([np.nanmin(values[values > 0]) for values in terms.values() if (values > 0).any()])
            axes.set_ylim(bottom=max(lowest / 2, floor))
        scale_x(axes, axis)
        axes.set_ylabel(named("expected squared error", f"{view.target_unit}²" if view.target_unit else ""))
        layout.legend(axes)
        layout.headline(figure, _title(axis, x, terms))
        fits = view.resample.get("resamples") or "many"
        return figure, (
            f"Averages over {fits} training sets drawn anew: squared bias is the mean fit's distance from "
            "the true curve, variance the fits' scatter about their mean; noise no model gets below."
            + (" On the floor: a bias below its standard error." if none.any() else "")
        )


def _title(axis: Axis, x: np.ndarray, terms: dict[str, np.ndarray]) -> str:
    word = axis_name(axis.path)
    total = terms["expected"]
    if not np.isfinite(total).any():
        return f"Bias and variance against {word}"
    at = int(np.nanargmin(total))
    bias, variance = np.nan_to_num(terms["bias2"]), np.nan_to_num(terms["variance"])
    minimum = f"the expected error is least at {word} {show_value(int(x[at]) if axis.whole else float(x[at]))}"
    if bias[at] < bias[0] and variance[-1] > variance[at]:
        return f"Bias falls, then variance grows: {minimum}"
    if variance[at] < variance[0] and bias[-1] > bias[at]:
        return f"Variance falls, then bias grows: {minimum}"
    if variance[-1] < variance[0]:
        return f"With {word} variance falls from {number(variance[0], 2)} to {number(variance[-1], 2)}"
    return capital(minimum)


class Resamples(Plot):
    """Fits on many training sets over the true curve, one panel for each of some settings."""

    kind, name, order = "sweep", "resampled_fits", 122
    max_panels = 6
    max_lines = 60

    def applies(self, view: SweepView) -> bool:
        return bool(self._points(view))

    def _points(self, view: SweepView) -> Pairs:
        pairs = resampled_points(view, "regression")
        fitting = [(point, record) for point, record in pairs if view.resampled_fits(point) is not None]
        best = min(fitting, key=lambda pair: as_float(pair[1].get("expected")), default=None)
        return spread(fitting, self.max_panels, best)

    def draw(self, view: SweepView) -> tuple[Figure, str]:
        shown = self._points(view)
        figure, cells = layout.panels(len(shown), sharex=True, sharey=True)
        curves = []
        for axes, (point, record) in zip(cells, shown, strict=True):
            curves.append(self._panel(axes, *seen(view.resampled_fits(point))))
            bias, variance = (number(as_float(record.get(key)), 2) for key in ("bias2", "variance"))
            layout.panel_title(axes, view.label(point.overrides), f"bias² {bias}, variance {variance}")
        limits = span(curves, margin=0.35)
        if limits:
            cells[0].set_ylim(*limits)
        example = view.example
        layout.outer_labels(
            cells, named(*example.feature(0)) if example else "x", named(*example.target) if example else "y"
        )
        layout.shared_legend(figure, cells[0])
        layout.headline(figure, self._title(view, shown))
        return figure, "Thin: fits on training sets drawn anew; thick: their mean; dashed: the true curve."

    def _panel(self, axes: MplAxes, x: np.ndarray, outputs: np.ndarray, curve: np.ndarray) -> np.ndarray:
        lines = axes.plot(x, outputs[: self.max_lines].T, color=style.FIT, lw=0.6, alpha=0.3)
        lines[0].set_label("one training set")
        axes.plot(x, outputs.mean(axis=0), color=style.MARK, lw=2.4, label="mean of the fits")
        axes.plot(x, curve, color=style.TRUTH, lw=1.6, ls=style.DASHES, label="true curve")
        return curve

    def _title(self, view: SweepView, shown: Pairs) -> str:
        if len(shown) == 1:
            return "Fits on many training sets: how far they scatter, and where their mean lies"
        widest = max(shown, key=lambda pair: as_float(pair[1].get("variance")))
        off = max(shown, key=lambda pair: as_float(pair[1].get("bias2")))
        if widest is off:
            return f"Over many training sets {view.label(widest[0].overrides)} misses and scatters most"
        return (
            f"Over many training sets {view.label(off[0].overrides)} misses the curve most, "
            f"{view.label(widest[0].overrides)} scatters most"
        )
