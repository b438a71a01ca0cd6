"""The learning rate over the steps, where a schedule changes it."""

import numpy as np
from matplotlib.figure import Figure

from dlcourse.plots import layout, style
from dlcourse.plots.curves import decimate, log_y, wants_log
from dlcourse.plots.figures.loss import step_axis
from dlcourse.plots.plot import Plot
from dlcourse.plots.run_view import RunView
from dlcourse.plots.text import number


class LearningRate(Plot):
    kind, name, order = "run", "learning_rate", 50

    def applies(self, view: RunView) -> bool:
        rates = view.history.column("lr")
        rates = rates[np.isfinite(rates)]
        return len(rates) > 1 and rates.max() > rates.min()

    def draw(self, view: RunView) -> tuple[Figure, str]:
        steps, rates = view.history.column("step"), view.history.column("lr")
        figure, axes = style.subplots(height=3.2)
        axes.plot(*decimate(steps, rates), color=style.FIT)
        finite = rates[np.isfinite(rates)]
        # A cosine ends at almost nothing and is best seen as it is; a decay over decades is not.
        if wants_log([finite], ratio=100) and np.mean(finite < finite.max() / 30) > 0.3:
            log_y(axes)
        else:
            axes.set_ylim(bottom=0)
        axes.set_ylabel("learning rate")
        step_axis(axes, view)
        layout.headline(figure, _title(steps, rates))
        return figure, "The factor on each update, as the schedule sets it."


def _title(steps: np.ndarray, rates: np.ndarray) -> str:
    finite = np.isfinite(rates)
    steps, rates = steps[finite], rates[finite]
    top = int(np.argmax(rates))
    if rates[0] < rates[top] and rates[-1] < rates[top]:
        return (
            f"The learning rate rises to {number(rates[top], 3)} by step {number(steps[top])} "
            f"and falls to {number(rates[-1], 3)}"
        )
    verb = "falls" if rates[-1] < rates[0] else "rises"
    return f"The learning rate {verb} from {number(rates[0], 3)} to {number(rates[-1], 3)}"
