"""Simple estimators over many samples: their bias and variance, measured and by formula."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes as MplAxes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dlcourse.plots import layout, style
from dlcourse.plots.curves import scale_y
from dlcourse.plots.figures.bias_variance import Pairs, resampled_points
from dlcourse.plots.figures.error_curve import scale_x
from dlcourse.plots.plot import Plot
from dlcourse.plots.reading import as_dict, as_float
from dlcourse.plots.sweep_view import SweepView
from dlcourse.plots.text import number

TERMS = ("bias", "variance", "mse")


def _value(record: dict[str, Any], estimator: str, term: str, *, theory: bool) -> float:
    estimate = as_dict(as_dict(record.get("estimates")).get(estimator))
    return as_float((as_dict(estimate.get("theory")) if theory else estimate).get(term))


def estimands(pairs: Pairs) -> list[list[str]]:
    """Estimators grouped by what they estimate: those with one true value, in order of appearance."""
    groups: dict[float, list[str]] = {}
    for _, record in pairs:
        for name, estimate in as_dict(record.get("estimates")).items():
            own = groups.setdefault(round(as_float(as_dict(estimate).get("truth")), 9), [])
            if name not in own and not any(name in other for other in groups.values()):
                own.append(name)
    return [names for names in groups.values() if names]


class Estimators(Plot):
    kind, name, order = "sweep", "estimators", 124

    def applies(self, view: SweepView) -> bool:
        return any(record.get("estimates") for _, record in resampled_points(view, "estimation"))

    def draw(self, view: SweepView) -> tuple[Figure, str]:
        pairs, axis = resampled_points(view, "estimation"), view.numeric_axis
        pairs = pairs if axis else pairs[:1]
        groups = estimands(pairs)
        figure, cells = layout.panels(len(groups) * len(TERMS), len(TERMS), height=2.9)
        for row, names in enumerate(groups):
            for column, term in enumerate(TERMS):
                axes = cells[row * len(TERMS) + column]
                if axis:
                    _along_axis(axes, pairs, names, term, axis.path)
                    scale_x(axes, axis)
                else:
                    _side_by_side(axes, pairs[0][1], names, term)
                if term == "bias":
                    axes.axhline(0, color=style.GREY, lw=1, zorder=1)
                    _widen(axes, pairs, names)
                axes.set_ylabel({"mse": "mean squared error"}.get(term, term))
                if row < len(groups) - 1:
                    axes.set_xlabel("")
            if axis:
                cells[row * len(TERMS)].legend(handles=_handles(names), loc="best", fontsize=8)
        layout.headline(figure, _title(view, pairs, groups))
        samples, lines = number(view.resample.get("resamples")), "lines" if axis else "dashes"
        return figure, f"Marks: measured over {samples} samples drawn anew; {lines}: the formula."


def _along_axis(axes: MplAxes, pairs: Pairs, names: list[str], term: str, path: str) -> None:
    x = [float(point.overrides[path]) for point, _ in pairs]
    drawn = []
    for name, color, marker, dash in _looks(names):
        theory = np.array([_value(record, name, term, theory=True) for _, record in pairs])
        measured = np.array([_value(record, name, term, theory=False) for _, record in pairs])
        axes.plot(x, theory, color=color, lw=1.6, ls=dash)
        axes.plot(x, measured, ls="", marker=marker, ms=6, color=color, mec="white", mew=0.5)
        drawn += [theory, measured]
    if term != "bias":
        scale_y(axes, drawn, ratio=8)


def _side_by_side(axes: MplAxes, record: dict[str, Any], names: list[str], term: str) -> None:
    for index, (name, color, marker, _) in enumerate(_looks(names)):
        theory = _value(record, name, term, theory=True)
        axes.plot([index - 0.28, index + 0.28], [theory, theory], color=style.INK, lw=1.6)
        axes.plot(index, _value(record, name, term, theory=False), marker=marker, ms=8, color=color, mec="white")
    axes.set_xticks(range(len(names)), [name.replace("_", "\n", 1).replace("_", " ") for name in names])
    axes.set_xlim(-0.6, len(names) - 0.4)
    if term == "bias":
        axes.margins(y=0.25)
    else:
        axes.set_ylim(0, 1.25 * axes.get_ylim()[1])


def _widen(axes: MplAxes, pairs: Pairs, names: list[str]) -> None:
    """Show a bias against the estimator's own scatter: one that is small beside it shall look small."""
    variances = [_value(record, name, "variance", theory=False) for _, record in pairs for name in names]
    reach = max(0.15 * np.sqrt(np.nanmax(variances, initial=0.0)), *map(abs, axes.get_ylim()))
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, -0.5 * reach), max(high, 0.5 * reach))


def _handles(names: list[str]) -> list[Line2D]:
    return [
        Line2D([], [], color=color, marker=marker, ls=dash, lw=1.6, label=name)
        for name, color, marker, dash in _looks(names)
    ]


def _looks(names: list[str]) -> Iterator[tuple[str, str, str, str]]:
    """Each name with its color, marker and dashes."""
    for index, name in enumerate(names):
        yield name, *style.class_look(index), ("-", "--", ":", "-.")[index % 4]


def _title(view: SweepView, pairs: Pairs, groups: list[list[str]]) -> str:
    """Names an estimator with a bias by formula beside one without, if there are such."""
    _, record = pairs[0]
    for names in groups:
        biases = {name: _value(record, name, "bias", theory=True) for name in names}
        biased = [name for name, bias in biases.items() if abs(bias) > 1e-12]
        fair = [name for name, bias in biases.items() if bias == 0]
        if biased and fair:
            return f"The estimator {biased[0]} is biased, {fair[0]} is not"
    return "Bias and variance of the estimators lie on their formulas"
