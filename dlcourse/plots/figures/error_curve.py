"""Error against the one number that a sweep varies: a degree, a penalty, a learning rate, a width."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dlcourse.plots import layout, style
from dlcourse.plots.curves import cap, geometric, log_x, log_x_from_zero, log_y, wants_log, whole_ticks
from dlcourse.plots.plot import Plot
from dlcourse.plots.sweep_view import Axis, Setting, SweepView
from dlcourse.plots.text import SAMPLE_PATHS, axis_label, axis_name, capital
from dlcourse.text import SPLITS, show_value


def ordered(axis: Axis, settings: Iterable[Setting]) -> list[Setting]:
    """The settings that have a number on the axis, in its order."""
    return axis.sorted(settings, lambda setting: setting.overrides)


def positions(settings: Sequence[Setting], axis: Axis) -> np.ndarray:
    """Where the settings stand on the axis."""
    return np.array([setting.overrides[axis.path] for setting in settings], dtype=float)


def draw_splits(
    axes: Axes, view: SweepView, axis: Axis, settings: Sequence[Setting], splits: Sequence[str] = SPLITS
) -> list[np.ndarray]:
    """One line for each split, with bars of one standard error where there are repetitions; the values drawn."""
    drawn = []
    for split in splits:
        values, look = view.values(split, settings), style.SPLITS[split]
        if np.isfinite(values).any():
            draw_line(axes, view, axis, settings, split, look, width=1.2)
            drawn.append(values)
    return drawn


def draw_line(
    axes: Axes, view: SweepView, axis: Axis, settings: Sequence[Setting], split: str, look: style.Look, width: float
) -> None:
    """One split's values along the axis, with bars of that width for one standard error where there are any."""
    axes.errorbar(
        positions(settings, axis),
        view.values(split, settings),
        yerr=view.errors(split, settings),
        color=look.color,
        marker=look.marker,
        capsize=3,
        elinewidth=width,
        label=look.label,
    )


def scale(axes: Axes, view: SweepView, axis: Axis, drawn: Sequence[np.ndarray]) -> None:
    """Log scales where values or settings ask for them; names with units."""
    if wants_log(drawn, ratio=20.0):
        log_y(axes)
        cap(axes, drawn)
    scale_x(axes, axis)
    axes.set_ylabel(view.metric_label(view.shown_metric))


def scale_x(axes: Axes, axis: Axis) -> None:
    """The swept axis: log for geometric values, with a place for 0; whole ticks for whole values; its name."""
    above = [value for value in axis.values if value != 0]
    if geometric(axis.values):
        log_x(axes)
    elif len(above) < len(axis.values) and geometric(above) and wants_log([np.array(above)]):
        log_x_from_zero(axes, above)
    elif axis.whole:
        whole_ticks(axes)
    axes.set_xlabel(axis_label(axis.path))


def measured_twice(view: SweepView) -> bool:
    """Whether some split has more than one value of the metric shown."""
    return any(np.isfinite(view.values(split)).sum() > 1 for split in SPLITS)


class ErrorCurve(Plot):
    kind, name, order = "sweep", "error_curve", 110

    def applies(self, view: SweepView) -> bool:
        axis = view.numeric_axis
        return axis is not None and axis.path not in SAMPLE_PATHS and measured_twice(view)

    def draw(self, view: SweepView) -> tuple[Figure, str]:
        axis = view.axes[0]
        settings = ordered(axis, view.settings)
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
        key = view.selected_key
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
        word = axis_name(axis.path)
        if best is None:
            return _trend(view, axis, settings)
        peak = f"{view.selected_name} is {view.extreme} at {word} {show_value(best.overrides[axis.path])}"
        if simplest is not None and simplest is not best:
            other = show_value(simplest.overrides[axis.path])
            return capital(f"{peak}; {word} {other} is simpler and within one standard error of it")
        if _keeps_falling(view, settings, best):
            return f"Training error keeps falling with {word}, but {peak}"
        return capital(peak)

    def _caption(self, view: SweepView, axis: Axis, best: Setting | None, simplest: Setting | None) -> str:
        caption = f"Each split's {view.metric_name(view.shown_metric)} against {axis_name(axis.path)}"
        repeats = max((setting.count(view.selected_key) for setting in view.settings), default=1)
        if repeats > 1:
            caption += f", means over {repeats} repetitions with bars of one standard error"
        if simplest is not None:
            caption += "; below the dotted line a setting is within one standard error of the best"
        values = positions(ordered(axis, view.settings), axis)
        if best is not None and len(values) > 2 and best.overrides[axis.path] in (values[0], values[-1]):
            caption += "; the best lies at the end of the range tried, so a wider one may hold a better"
        return caption + "."


def _trend(view: SweepView, axis: Axis, settings: list[Setting]) -> str:
    """Which way the first split's metric goes along the axis, where nothing was chosen."""
    word, name = axis_name(axis.path), view.metric_name(view.shown_metric)
    for split in SPLITS:
        values = view.values(split, settings)
        values = values[np.isfinite(values)]
        if len(values) > 1:
            verb = "falls" if values[-1] < values[0] else "rises"
            return capital(f"{style.split_word(split)} {name} {verb} with {word}")
    return capital(f"{name} against {word}")


def _runs_away(view: SweepView, settings: list[Setting]) -> bool:
    """Whether the test error leaves the others so far below that it needs a panel of its own, as in extrapolation."""
    values = {split: view.values(split, settings) for split in SPLITS}
    others = np.concatenate([values["train"], values["val"]])
    others, test = others[np.isfinite(others)], values["test"][np.isfinite(values["test"])]
    return bool(others.size and test.size and not view.higher_is_better and test.max() > 300 * others.max() > 0)


def _keeps_falling(view: SweepView, settings: list[Setting], best: Setting) -> bool:
    """Whether training error goes on down beyond the best setting by validation: overfitting."""
    if view.higher_is_better or view.select[1] != "val":
        return False
    train = view.values("train", settings)
    at = next((index for index, setting in enumerate(settings) if setting is best), len(settings) - 1)
    return at < len(settings) - 1 and bool(train[-1] < 0.99 * train[at])
