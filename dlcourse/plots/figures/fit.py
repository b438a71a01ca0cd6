"""A fitted curve over its data: regression with one input."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dlcourse.plots import layout, style
from dlcourse.plots.curves import span
from dlcourse.plots.plot import Plot
from dlcourse.plots.run_view import RunView
from dlcourse.plots.text import clip, named, with_unit


def has_curve(view: RunView) -> bool:
    """Whether the run is a regression of one target on one input whose fitted curve the folder holds."""
    x, output = view.predictions.get("curve_x"), view.predictions.get("curve_output")
    if view.task != "regression" or x is None or output is None or output.ndim != 2 or len(x) != len(output):
        return False
    subsets = view.splits.values()
    return len(x) > 1 and any(
        subset.x is not None and subset.x.shape[1] == 1 and subset.y.shape[1] == 1 for subset in subsets
    )


def off_by(view: RunView) -> str:
    """A title that says how far off the predictions of new data are."""
    split = view.selection_split
    if len(view.targets) > 1 and view.facts.get("target_names"):
        subset = view.splits[split]
        misses = [f"{clip(name)} by {with_unit(subset.rms(i), unit)}" for i, (name, unit) in enumerate(view.targets)]
        more = ", ..." if len(misses) > 3 else ""
        return f"{view.model}: off in {', '.join(misses[:3])}{more} (RMS) on {style.split_word(split)} data"
    miss = with_unit(view.splits[split].rms(), view.target[1])
    beside = ""
    if "train" in view.splits and view.splits[split].rms() > 1.5 * view.splits["train"].rms():
        beside = f", by {with_unit(view.splits['train'].rms(), view.target[1])} on training data"
    return f"{view.model}: off by {miss} (RMS) on {style.split_word(split)} data{beside}"


def draw_fit(axes: Axes, view: RunView, *, small: bool = False) -> None:
    """Points of every split, the fitted curve, its standard deviation and the true curve where there are any.

    Gray marks what lies beyond the training inputs. The limits hold the data and the true curve; a fit that runs away
    leaves the image.
    """
    x = view.predictions["curve_x"].ravel()
    output = view.predictions["curve_output"]
    order = np.argsort(x, kind="stable")
    x, output = x[order], output[order]
    mean = np.where(np.isfinite(output[:, 0]), output[:, 0], np.nan)
    for split, subset in view.splits.items():
        if subset.x is None:
            continue
        style.scatter(axes, split, subset.x[:, 0], subset.y[:, 0], many=view.many, size=10 if small else 20)
    truth = view.predictions.get("curve_true")
    if truth is not None and len(truth) == len(x):
        axes.plot(x, truth[order, 0], color=style.TRUTH, lw=1.4, ls=style.DASHES, label="true curve", zorder=3)
    if output.shape[1] == 2:
        band = 2 * np.exp(np.clip(output[:, 1], -300, 300))
        axes.fill_between(x, mean - band, mean + band, color=style.MARK, alpha=0.16, lw=0, label="±2σ", zorder=1)
    axes.plot(x, mean, color=style.MARK, lw=2.2, label="fit", zorder=4)
    limits = _limits(view, x, mean)
    if limits:
        axes.set_ylim(*limits)
    axes.set_xlim(x[0], x[-1])
    _shade_extrapolation(axes, view, x)


def _limits(view: RunView, x: np.ndarray, mean: np.ndarray) -> tuple[float, float] | None:
    values = [subset.y[:, 0] for subset in view.splits.values()]
    truth = view.predictions.get("curve_true")
    if truth is not None:
        values.append(truth[:, 0])
    limits = span(values)
    inside = training_range(view)
    if limits and inside:
        # Where there is data the fit is shown a little beyond it, so that a wiggle is seen as one.
        room = 0.25 * (limits[1] - limits[0])
        within = mean[(x >= inside[0]) & (x <= inside[1])]
        limits = span([np.clip(within, limits[0] - room, limits[1] + room), np.array(limits)], margin=0.02)
    return limits


def training_range(view: RunView) -> tuple[float, float] | None:
    """The smallest and the largest training input."""
    subset = view.splits.get("train")
    return (float(subset.x.min()), float(subset.x.max())) if subset is not None and subset.x is not None else None


def _shade_extrapolation(axes: Axes, view: RunView, x: np.ndarray) -> None:
    inside = training_range(view)
    if inside is None:
        return
    threshold = 0.15 * (inside[1] - inside[0])
    label = "extrapolation"
    for beyond, edge in ((inside[0] - x[0], (x[0], inside[0])), (x[-1] - inside[1], (inside[1], x[-1]))):
        if beyond > threshold:
            axes.axvspan(*edge, color="#8A8A8A", alpha=0.13, lw=0, zorder=0, label=label)
            label = "_"


def extrapolates(view: RunView) -> bool:
    """Whether most test inputs lie beyond the training inputs."""
    inside, test = training_range(view), view.splits.get("test")
    if inside is None or test is None or test.x is None:
        return False
    return bool(np.mean((test.x < inside[0]) | (test.x > inside[1])) > 0.5)


class Fit(Plot):
    kind, name, order = "run", "fit", 10

    def applies(self, view: RunView) -> bool:
        return has_curve(view)

    def draw(self, view: RunView) -> tuple[Figure, str]:
        figure, axes = style.subplots(height=4.4)
        draw_fit(axes, view)
        axes.set(xlabel=named(*view.feature(0)), ylabel=named(*view.target))
        layout.legend(axes)
        layout.headline(figure, self._title(view))
        caption = "Points are the data of each split, the thick line is the fitted curve"
        caption += ", the dashed line the curve that made the data" if "curve_true" in view.predictions else ""
        gaussian = view.predictions["curve_output"].shape[1] == 2
        caption += ", the band two predicted standard deviations" if gaussian else ""
        caption += "; gray lies beyond the training data" if axes.patches else ""
        return figure, caption + "."

    def _title(self, view: RunView) -> str:
        if not extrapolates(view):
            return off_by(view)
        inside, beyond = (with_unit(view.splits[split].rms(), view.target[1]) for split in ("train", "test"))
        return f"{view.model}: off by {inside} (RMS) on the training data, by {beyond} beyond it"
