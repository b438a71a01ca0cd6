"""The training loss against passes over the data, where optimizers take several of them in a step."""

import numpy as np
from matplotlib.figure import Figure

from dlcourse.plots import layout, style
from dlcourse.plots.curves import decimate, log_x, log_y, smooth
from dlcourse.plots.plot import Plot
from dlcourse.plots.run_view import RunView
from dlcourse.plots.sweep_view import SweepView, spread
from dlcourse.plots.text import capital, number

DASHES = ("-", "--", ":")
MAX_LINES = len(DASHES) * len(style.CLASSES)
ROUNDED = 1e-16
"""A loss above the least by less than this share of the first is rounding."""


def passes(run: RunView) -> tuple[np.ndarray, np.ndarray]:
    """How many passes over the training data were made when each training loss was known, and the losses.

    A loss is that before its step: of an optimizer with a closure, the first evaluation after the last step's.
    """
    counted, losses = run.history.column("evaluations"), run.history.column("loss")
    if np.isfinite(counted).any():
        return np.concatenate([[1.0], counted[:-1] + 1]), losses
    epochs = run.history.column("epoch")
    batches = max(1, round(run.history.steps_per_epoch()))  # of several the mean over one pass
    return epochs, smooth(losses, batches) if batches > 1 else losses


class Evaluations(Plot):
    kind, name, order = "sweep", "evaluations", 104

    def applies(self, view: SweepView) -> bool:
        runs = view.first_runs()
        counts = any(np.isfinite(run.history.column("evaluations")).sum() > 2 for run in runs)
        # Where every step is logged, the loss before it is known after so many evaluations.
        return counts and all(run.config.get("train", {}).get("log_every") == 1 for run in runs if run.history.train)

    def draw(self, view: SweepView) -> tuple[Figure, str]:
        shown = spread(view.settings, MAX_LINES, view.chosen("best"))
        figure, axes = style.subplots(style.WIDE, max(4.4, 0.7 + 0.2 * len(shown)))
        curves = []
        for setting in shown:
            known, losses = passes(view.run(setting.points[0]))
            curves.append((view.telling(setting), known, losses))
        least = min(float(np.nanmin(losses)) for _, _, losses in curves if np.isfinite(losses).any())
        for index, (name, known, losses) in enumerate(curves):
            color, dash = style.class_look(index)[0], DASHES[index // len(style.CLASSES)]
            above = losses - least
            above[~(above > ROUNDED * np.nanmax(above))] = np.nan
            axes.plot(*decimate(known, above), color=color, ls=dash, lw=1.6, label=name)
        log_y(axes)
        log_x(axes)
        axes.set(xlabel="passes over the training data", ylabel=f"training loss above the least, {number(least)}")
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
        best, _, losses = min(curves, key=lambda curve: np.nanmin(curve[2]))
        layout.headline(figure, capital(f"{best} reaches the least training loss, {number(np.nanmin(losses))}"))
        return figure, "An evaluation of loss and gradient is one pass; a step of a searching optimizer takes several."
