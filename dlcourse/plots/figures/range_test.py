"""The learning-rate range test: the loss against the rate, which grows from step to step."""

import numpy as np
from matplotlib.figure import Figure

from dlcourse.plots import layout, style
from dlcourse.plots.curves import FEW, decimate, hold, log_x, smooth
from dlcourse.plots.plot import Plot
from dlcourse.plots.reading import as_dict
from dlcourse.plots.run_view import RunView
from dlcourse.plots.text import number

MIN_POINTS = 20
BELOW = 3.0
"""The rate to try is so many times below that of the least loss, where steps are about to be too long: Smith's lower
bound of a cycle is a third or a quarter of the upper one."""


class RangeTest(Plot):
    kind, name, order = "run", "range_test", 38

    def applies(self, view: RunView) -> bool:
        schedule = as_dict(as_dict(view.config.get("optimizer")).get("schedule"))
        return schedule.get("name") == "range_test" and len(_curve(view)[0]) >= MIN_POINTS

    def draw(self, view: RunView) -> tuple[Figure, str]:
        rates, losses = _curve(view)
        mean = smooth(losses, max(5, len(losses) // 20))
        best = rates[int(np.argmin(mean))]
        look = style.SPLITS["train"]
        figure, axes = style.subplots()
        if len(losses) > FEW:
            axes.plot(*decimate(rates, losses), color=style.tint(look.color, 0.4), lw=0.8, label="one batch")
        axes.plot(*decimate(rates, mean), color=look.color, label="moving mean")
        axes.axvline(best, color=style.GREY, lw=1.2, ls=":", label=f"least loss, at {number(best, 2)}")
        axes.axvline(
            best / BELOW, color=style.MARK, lw=1.6, ls=style.DASHES, label=f"to try: {number(best / BELOW, 2)}"
        )
        hold(axes, [losses])
        log_x(axes)
        axes.set(xlabel="learning rate", ylabel=view.loss_label)
        layout.legend(axes)
        layout.headline(figure, f"The loss falls until the rate is {number(best, 2)}; a third of it is a rate to try")
        return figure, "Each step has a higher rate than the one before; beyond the least loss steps are too long."


def _curve(view: RunView) -> tuple[np.ndarray, np.ndarray]:
    """Rates above 0 and losses, as far as they are numbers."""
    rates, losses = view.history.column("lr"), view.history.column("loss")
    there = np.isfinite(losses) & (rates > 0)
    return rates[there], losses[there]
