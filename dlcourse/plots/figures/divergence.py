"""The loss of every step around the one at which training diverged."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dlcourse.plots import layout, style
from dlcourse.plots.curves import wants_log, whole_ticks
from dlcourse.plots.plot import Plot
from dlcourse.plots.reading import as_float
from dlcourse.plots.run_view import RunView
from dlcourse.plots.text import number, power_of_ten


class Divergence(Plot):
    kind, name, order = "run", "divergence", 10

    def applies(self, view: RunView) -> bool:
        return view.status == "diverged" and len(view.history.divergence) > 1

    def draw(self, view: RunView) -> tuple[Figure, str]:
        steps = np.array([as_float(event.get("step")) for event in view.history.divergence])
        losses = np.array([as_float(event.get("loss")) for event in view.history.divergence])
        finite, at = np.isfinite(losses), as_float(view.outcome.get("diverged_at"))
        look = style.SPLITS["train"]
        figure, axes = style.subplots()
        shown, logarithmic = losses[finite], wants_log([losses], ratio=10.0)
        if logarithmic:  # by itself: a log scale of Matplotlib's overflows on the way to infinity
            shown = np.log10(shown)
            axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
            axes.yaxis.set_major_formatter(lambda value, _: power_of_ten(10.0 ** min(value, 308.0)))
        axes.plot(steps[finite], shown, color=look.color, marker=look.marker, label="loss of a step")
        if not finite.all():
            axes.plot(
                steps[~finite],
                np.full((~finite).sum(), 0.97),
                "x",
                color=style.MARK,
                mew=2,
                transform=axes.get_xaxis_transform(),
                label="infinite or not a number",
            )
        axes.axvline(at, color=style.GREY, lw=1.2, ls=":", zorder=1, label=f"diverged (step {number(at)})")
        axes.set(xlabel="step", ylabel=view.loss_label)
        whole_ticks(axes)
        layout.legend(axes)
        layout.headline(figure, _title(steps[finite], losses[finite], at))
        return figure, "Every step around the divergence; after it no step means anything."


def _title(steps: np.ndarray, losses: np.ndarray, at: float) -> str:
    before = losses[steps < at]
    if not len(before) or before.max() < 2 * before.min():
        return f"Training diverges at step {number(at)}, without a sign before it"
    low = int(before.argmin())
    since = number(at - steps[steps < at][low])
    return f"Training diverges at step {number(at)}: the loss grows from {number(before[low], 3)} to " + (
        f"{number(before.max(), 3)} within {since} steps"
    )
