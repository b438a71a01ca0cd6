"""The cost that training reduces, step by step."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dlcourse.plots import layout, style
from dlcourse.plots.curves import FEW, cap, decimate, loss_curve, scale_y, whole_ticks
from dlcourse.plots.figures.metric_curves import of_players
from dlcourse.plots.plot import Plot
from dlcourse.plots.reading import as_dict, as_float
from dlcourse.plots.run_view import RunView
from dlcourse.plots.text import number


def mark_best(axes: Axes, view: RunView) -> bool:
    """A thin line at the best step, if the run has one within the image."""
    step = as_float(as_dict(view.outcome.get("best")).get("step"))
    if not np.isfinite(step):
        return False
    axes.axvline(step, color=style.GREY, lw=1.2, ls=":", zorder=1, label=f"best step ({number(step)})")
    return True


def step_axis(axes: Axes, view: RunView) -> None:
    """Name the axis of steps; a second axis above counts epochs, where a run has more than two of them."""
    axes.set_xlabel("step")
    whole_ticks(axes)
    per_epoch = view.history.steps_per_epoch()
    last = max((as_float(event.get("epoch")) for event in [*view.history.train, *view.history.evals]), default=0)
    if per_epoch <= 1 or not last > 2:
        return
    both_ways = (lambda step: step / per_epoch, lambda epoch: epoch * per_epoch)
    epochs = axes.secondary_xaxis("top", functions=both_ways)
    epochs.set_xlabel("epoch", fontsize=9, color=style.GREY)
    epochs.tick_params(labelsize=8)
    locator: Any = epochs.xaxis.get_major_locator()
    locator.set_params(integer=True, nbins=8)


class Loss(Plot):
    kind, name, order = "run", "loss", 40

    def applies(self, view: RunView) -> bool:
        if of_players(view.history.metric_names()) and view.status != "diverged":
            return False  # the sum of their costs: each has its own curve
        return int(np.isfinite(view.history.column("loss")).sum()) > 1

    def draw(self, view: RunView) -> tuple[Figure, str]:
        steps, loss = view.history.column("step"), view.history.column("loss")
        noisy = len(loss) > FEW
        look = style.SPLITS["train"]
        figure, axes = style.subplots()
        mean_steps, mean = loss_curve(view)
        if noisy:
            axes.plot(*decimate(steps, loss), color=style.tint(look.color, 0.4), lw=0.8, label="one batch")
            axes.plot(*decimate(mean_steps, mean), color=look.color, label="moving mean")
        else:
            marker = look.marker if len(loss) <= 30 else ""
            axes.plot(steps, loss, color=look.color, marker=marker, label="training loss")
        marked = mark_best(axes, view)
        scale_y(axes, [loss], held=True)
        if view.status == "diverged" and axes.get_yscale() == "log":
            cap(axes, [loss])
        axes.set_ylabel(view.loss_label)
        scaled = as_dict(view.config.get("data")).get("normalize_target") == "standardize"
        step_axis(axes, view)
        if noisy or marked:
            layout.legend(axes) if not axes.child_axes else axes.legend(loc="best")
        layout.headline(figure, _title(view, mean))
        of_what = ", of the standardized target" if scaled else ""
        return figure, f"The cost on the batches that the model learns from{of_what}" + (
            "; the dotted line marks the checkpoint kept as the best." if marked else "."
        )


def _title(view: RunView, mean: np.ndarray) -> str:
    finite = np.isfinite(mean)
    first, last = mean[finite][0], mean[finite][-1]
    if view.status == "diverged" or not np.isfinite(view.history.column("loss")[-1]):
        return f"Training diverges: the loss leaves {number(np.nanmin(mean), 3)} and does not come back"
    if "rate_too_high" in view.advice:
        highest, lowest = np.nanmax(view.history.column("loss")), np.nanmin(mean)
        way = f"up to {number(highest, 3)}" if highest > 2 * first else f"down to {number(lowest, 3)}"
        return f"Steps are too long: training loss from {number(first, 3)} {way}, at the end {number(last, 3)}"
    if abs(last - first) < 0.02 * abs(first):
        return f"Training loss stays at {number(last, 3)}"
    verb = "falls" if last < first else "rises"
    by_heart = {"overfitting", "labels_look_shuffled"} & view.advice.keys()
    return f"Training loss {verb} from {number(first, 3)} to {number(last, 3)}" + (
        "; validation does not follow" if by_heart else ""
    )
