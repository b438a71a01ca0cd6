"""The curves of several runs in one figure: the training loss, and each metric over training."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dlcourse.errors import UserError
from dlcourse.plots import layout, style
from dlcourse.plots.curves import decimate, loss_curve, scale_y, whole_ticks
from dlcourse.plots.run_view import RunView
from dlcourse.plots.text import capital, label, number

MAX_LINES = 16
MAX_PANELS = 6
_FORMATS = ("png", *style.FORMATS)

Curve = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Line:
    """What one line stands for: a run, or those that repeat it with other seeds."""

    label: str
    folders: tuple[Path, ...]

    @cached_property
    def runs(self) -> list[RunView]:
        """Those that have a history."""
        views = [RunView(folder) for folder in self.folders]
        return [view for view in views if view.history.train or view.history.evals]

    @property
    def per_epoch(self) -> float:
        """Steps of an epoch; 0 where a run does not say."""
        return min((view.history.steps_per_epoch() for view in self.runs), default=0.0)

    def curves(self, key: str) -> list[Curve]:
        """Steps and values of ``loss`` or of a metric such as ``val.accuracy`` in each run that has two at least."""
        found = [_curve(view, key) for view in self.runs]
        return [(steps, values) for steps, values in found if np.isfinite(values).sum() > 1]


def _curve(view: RunView, key: str) -> Curve:
    if key == "loss":
        return loss_curve(view)
    split, _, metric = key.partition(".")
    return view.history.metric(split, metric)


def mean_curve(curves: Sequence[Curve]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Steps that all curves have, the mean there, and the standard deviation with n - 1; zeros for one curve."""
    steps = curves[0][0]
    for others, _ in curves[1:]:
        steps = np.intersect1d(steps, others)
    values = np.array([y[np.searchsorted(x, steps)] for x, y in curves])
    spread = values.std(axis=0, ddof=1) if len(curves) > 1 else np.zeros(len(steps))
    return steps, values.mean(axis=0), spread


def kind_of(path: Path) -> str:
    """``png``, ``svg`` or ``pdf``, by the ending of a file's name.

    Raises:
        UserError: it is none of these.
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind not in _FORMATS:
        raise UserError(f"--plot {path}: expected a name that ends in {', '.join(f'.{each}' for each in _FORMATS)}")
    return kind


def draw_several(lines: Sequence[Line], kind: str, keys: Sequence[str] = (), dpi: int = style.DPI) -> bytes:
    """The figure as a file.

    Args:
        lines: at most ``MAX_LINES``.
        kind: ``png``, ``svg`` or ``pdf``.
        keys: the panels: metrics such as ``val.accuracy``, and ``loss``, the training loss. By default that and each
            metric on the validation split, or where there is none on another.
    Raises:
        UserError: no run has a curve of these.
    """
    wanted = list(keys) or ["loss", *_metrics(lines)]
    shown = [key for key in dict.fromkeys(wanted) if any(line.curves(key) for line in lines)][:MAX_PANELS]
    if not shown:
        raise UserError(
            f"--plot: no run has a curve of {', '.join(wanted)}: a curve needs two evaluations during training at "
            "least (train.eval_every), and a closed form takes one step"
        )
    with style.styled(dpi), np.errstate(all="ignore"):
        figure, caption = _figure(lines, shown)
        return style.encode(figure, kind, caption)


def _metrics(lines: Iterable[Line]) -> list[str]:
    """Each metric that was measured during training, on the split that says most about new data."""
    found: dict[str, str] = {}
    for run in (run for line in lines for run in line.runs):
        for name in run.history.metric_names():
            for split in ("val", "test", "train"):
                if name not in found and len(run.history.metric(split, name)[0]) > 1:
                    found[name] = f"{split}.{name}"
    return list(found.values())


def _figure(lines: Sequence[Line], keys: Sequence[str]) -> tuple[Figure, str]:
    figure, cells = layout.panels(len(keys), height=3.6)
    colors = style.line_colors(len(lines), ramp=False)
    epochs = all(line.per_epoch > 0 for line in lines if line.runs)
    several = False
    for axes, key in zip(cells, keys, strict=True):
        drawn = []
        for index, (line, color) in enumerate(zip(lines, colors, strict=True)):
            curves = line.curves(key)
            if not curves:
                continue
            steps, mean, spread = mean_curve(curves)
            x = steps / line.per_epoch if epochs else steps
            dash = "-" if index < len(style.CLASSES) else "--"
            axes.plot(*decimate(x, mean), color=color, ls=dash, lw=1.5, label=label(line.label))
            if len(curves) > 1:
                several = True
                axes.fill_between(x, mean - spread, mean + spread, color=color, alpha=0.18, lw=0)
            drawn.append(mean)
        _finish(axes, lines, key, drawn, "epoch" if epochs else "step")
    handles = {text: handle for axes in cells for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    columns = max(1, int(13 * figure.get_figwidth()) // (5 + max(map(len, handles))))  # some 13 letters an inch
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=min(len(handles), columns, 6))
    layout.headline(figure, _title(lines, keys))
    caption = "The training loss is a moving mean over batches." if "loss" in keys else "Metrics over training."
    return figure, caption + (" A band is one standard deviation over seeds." if several else "")


def _finish(axes: Axes, lines: Sequence[Line], key: str, drawn: Sequence[np.ndarray], unit: str) -> None:
    view = next(run for line in lines for run in line.runs)
    split, _, metric = key.partition(".")
    higher = key != "loss" and view.higher_is_better(metric)
    scale_y(axes, drawn, held=not higher)
    measured = "training loss" if key == "loss" else f"{style.split_word(split)} {view.metric_label(metric)}"
    axes.set(xlabel=unit, ylabel=measured)
    whole_ticks(axes)


def _title(lines: Sequence[Line], keys: Sequence[str]) -> str:
    """Which line ends best, by the first metric."""
    key = next((each for each in keys if each != "loss"), "loss")
    split, _, metric = key.partition(".")
    ends = [(mean_curve(curves)[1], line) for line in lines if (curves := line.curves(key))]
    last = [(values[-1], line) for values, line in ends if len(values) and np.isfinite(values[-1])]
    view = next(run for line in lines for run in line.runs)
    words = "training loss" if key == "loss" else f"{style.split_word(split)} {view.metric_name(metric)}"
    if len(last) < 2:
        return f"{capital(words)} over training"
    higher = key != "loss" and view.higher_is_better(metric)
    choose: Callable = max if higher else min
    value, best = choose(last, key=lambda pair: pair[0])
    return f"{best.label} ends with the {'highest' if higher else 'least'} {words}, {number(value, 3)}"
