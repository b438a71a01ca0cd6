"""Error against the one number that a sweep varies: a degree, a penalty, a learning rate, a width."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dlcourse.plots import layout, style
from dlcourse.plots.curves import cap, geometric, log_x, log_y, wants_log, whole_ticks
from dlcourse.plots.plot import Plot
from dlcourse.plots.sweep_view import Axis, Setting, SweepView
from dlcourse.plots.text import SAMPLE_PATHS, axis_label, axis_name, capital
from dlcourse.text import SPLITS, show_value


def ordered(view: SweepView, axis: Axis, settings: Sequence[Setting] | None = None) -> list[Setting]:
    """The settings that have a number on the axis, in its order."""
    chosen = view.settings if settings is None else settings
    return sorted((s for s in chosen if axis.path in s.overrides), key=lambda setting: setting.overrides[axis.path])


def positions(settings: Sequence[Setting], axis: Axis) -> np.ndarray:
    """Where the settings stand on the axis."""
    return np.array([setting.overrides[axis.path] for setting in settings], dtype=float)


def draw_splits(
    axes: Axes, view: SweepView, axis: Axis, settings: Sequence[Setting], splits: Sequence[str] = SPLITS
) -> list[np.ndarray]:
    """One line for each split, with bars of one standard error where there are repetitions; the values drawn."""
    metric = view.shown_metric
    x = positions(settings, axis)
    drawn = []
    for split in splits:
        values, errors = view.values(split, metric, settings), view.errors(split, metric, settings)
        if not np.isfinite(values).any():
            continue
        look = style.SPLITS[split]
        values = np.where(np.isfinite(values), values, np.nan)
        if np.isfinite(errors).any():
            axes.errorbar(
                x,
                values,
                yerr=errors,
                color=look.color,
                marker=look.marker,
                capsize=3,
                elinewidth=1.2,
                label=look.label,
            )
        else:
            axes.plot(x, values, color=look.color, marker=look.marker, label=look.label)
        drawn.append(values)
    return drawn


def scale(axes: Axes, view: SweepView, axis: Axis, drawn: Sequence[np.ndarray], *, ratio: float = 20.0) -> None:
    """Log scales where values or settings ask for them; names with units."""
    if drawn and wants_log(drawn, ratio):
        log_y(axes)
        cap(axes, drawn)
    scale_x(axes, axis)
    axes.set_ylabel(view.metric_label(view.shown_metric))


def scale_x(axes: Axes, axis: Axis) -> None:
    """The swept axis: log for geometric values, whole ticks for whole values; its name."""
    if geometric(axis.values):
        log_x(axes)
    elif axis.whole:
        whole_ticks(axes)
    axes.set_xlabel(axis_label(axis.path))


def the_numeric_axis(view: SweepView) -> Axis | None:
    """The sweep's only axis if it is one of numbers."""
    return view.axes[0] if len(view.axes) == 1 and view.axes[0].numeric else None


class ErrorCurve(Plot):
    kind, name, order = "sweep", "error_curve", 110

    def applies(self, view: SweepView) -> bool:
        axis = the_numeric_axis(view)
        if axis is None or axis.path in SAMPLE_PATHS:
            return False
        return any(np.isfinite(view.values(split, view.shown_metric)).sum() > 1 for split in SPLITS)

    def draw(self, view: SweepView) -> tuple[Figure, str]:
        axis = view.axes[0]
        settings = ordered(view, axis)
        best, simplest = view.chosen("best"), view.chosen("one_standard_error")
        far = _runs_away(view, settings)
        figure = style.canvas(height=5.2 if far else 4.2)
        upper = figure.subplots(2 if far else 1, sharex=True, squeeze=False)[0, 0]
        axes = figure.axes[-1]
        if far:
            # On one axis the other splits would be one flat line.
            scale(upper, view, axis, draw_splits(upper, view, axis, settings, splits=["test"]))
            upper.set_xlabel("")
        drawn = draw_splits(axes, view, axis, settings, splits=SPLITS[:2] if far else SPLITS)
        scale(axes, view, axis, drawn)
        marked = self._mark(axes, view, axis, best, simplest)
        handles = [handle for cell in figure.axes for handle in cell.get_legend_handles_labels()[0]]
        words = [look.label for look in style.SPLITS.values()]
        layout.legend(upper, sorted(handles, key=lambda h: words.index(h.get_label()) if h.get_label() in words else 9))
        layout.headline(figure, self._title(view, axis, settings, best, simplest))
        return figure, self._caption(view, axis, best, simplest if marked else None)

    def _mark(self, axes: Axes, view: SweepView, axis: Axis, best: Setting | None, simplest: Setting | None) -> bool:
        """Ring the best; with folds also its standard error as a line and the simplest setting below that line."""
        key = f"{view.select[1]}.{view.shown_metric}"
        if best is None or key not in best.mean:
            return False
        label = f"best by {style.split_word(view.select[1])}"
        ring: dict[str, Any] = {"ls": "", "ms": 14, "mfc": "none", "mew": 1.6, "zorder": 6}
        axes.plot(best.overrides[axis.path], best.mean[key], "o", mec=style.INK, label=label, **ring)
        if simplest is None or key not in simplest.mean or key not in best.se:
            return False
        limit = best.mean[key] + (-best.se[key] if view.higher_is_better else best.se[key])
        axes.axhline(limit, color=style.GREY, lw=1.1, ls=":", zorder=1)
        if simplest is not best:
            axes.plot(
                simplest.overrides[axis.path],
                simplest.mean[key],
                "D",
                mec=style.MARK,
                label="one standard error",
                **ring,
            )
        return True

    def _title(
        self, view: SweepView, axis: Axis, settings: list[Setting], best: Setting | None, simplest: Setting | None
    ) -> str:
        word, name = axis_name(axis.path), view.metric_name(view.shown_metric)
        if best is None:
            return _trend(view, axis, settings)
        split = style.split_word(view.select[1])
        at = f"{word} {show_value(best.overrides[axis.path])}"
        peak = f"{split} {name} is {'highest' if view.higher_is_better else 'least'} at {at}"
        if simplest is not None and simplest is not best:
            other = show_value(simplest.overrides[axis.path])
            return capital(f"{peak}; {word} {other} is simpler and within one standard error of it")
        if _keeps_falling(view, settings, best):
            return f"Training error keeps falling with {word}, but {peak}"
        return capital(peak)

    def _caption(self, view: SweepView, axis: Axis, best: Setting | None, simplest: Setting | None) -> str:
        caption = f"Each split's {view.metric_name(view.shown_metric)} against {axis_name(axis.path)}"
        key = f"{view.select[1]}.{view.shown_metric}"
        repeats = max((setting.count(key) for setting in view.settings), default=1)
        if repeats > 1:
            caption += f", means over {repeats} repetitions with bars of one standard error"
        if simplest is not None:
            caption += "; below the dotted line a setting is within one standard error of the best"
        values = positions(ordered(view, axis), axis)
        if best is not None and len(values) > 2 and best.overrides[axis.path] in (values[0], values[-1]):
            caption += "; the best lies at the end of the range tried, so a wider one may hold a better"
        return caption + "."


def _trend(view: SweepView, axis: Axis, settings: list[Setting]) -> str:
    """Which way the first split's metric goes along the axis, where nothing was chosen."""
    word, name = axis_name(axis.path), view.metric_name(view.shown_metric)
    for split in SPLITS:
        values = view.values(split, view.shown_metric, settings)
        values = values[np.isfinite(values)]
        if len(values) > 1:
            verb = "falls" if values[-1] < values[0] else "rises"
            return capital(f"{style.split_word(split)} {name} {verb} with {word}")
    return capital(f"{name} against {word}")


def _runs_away(view: SweepView, settings: list[Setting]) -> bool:
    """Whether the test error leaves the others so far below that it needs a panel of its own, as in extrapolation."""
    values = {split: view.values(split, view.shown_metric, settings) for split in SPLITS}
    others = np.concatenate([values["train"], values["val"]])
    others, test = others[np.isfinite(others)], values["test"][np.isfinite(values["test"])]
    return bool(others.size and test.size and not view.higher_is_better and test.max() > 300 * others.max() > 0)


def _keeps_falling(view: SweepView, settings: list[Setting], best: Setting) -> bool:
    """Whether training error goes on down beyond the best setting by validation: overfitting."""
    if view.higher_is_better or view.select[1] != "val":
        return False
    train = view.values("train", view.shown_metric, settings)
    at = next((index for index, setting in enumerate(settings) if setting is best), len(settings) - 1)
    return at < len(settings) - 1 and bool(train[-1] < 0.99 * train[at])
