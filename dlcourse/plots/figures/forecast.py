"""A regression at every step of a series: the measured and the predicted values, step by step."""

import numpy as np
from matplotlib.figure import Figure

from dlcourse.plots import layout, style
from dlcourse.plots.plot import Plot
from dlcourse.plots.run_view import RunView
from dlcourse.plots.text import named, with_unit

MAX_STEPS = 400
"""Of longer series the last steps are shown."""


class Forecast(Plot):
    kind, name, order = "run", "forecast", 13

    def applies(self, view: RunView) -> bool:
        subset = view.splits.get(view.selection_split)
        steps = _steps(view)
        return view.task == "regression" and subset is not None and 1 < steps <= len(subset.y)

    def draw(self, view: RunView) -> tuple[Figure, str]:
        subset, steps = view.splits[view.selection_split], _steps(view)
        count = len(subset.y) // steps
        y, mean = (array[: count * steps].reshape(count, steps, -1)[:, :, 0] for array in (subset.y, subset.mean))
        errors = np.sqrt(np.mean((y - mean) ** 2, axis=1))
        order = np.argsort(errors, kind="stable")
        places = {"nearest": order[0], "in the middle": order[len(order) // 2], "furthest off": order[-1]}
        chosen = {int(index): word for word, index in places.items()}  # of few series one may be several of these
        figure, cells = layout.panels(len(chosen), 1, height=2.1, sharex=True)
        name, unit = view.targets[0]
        shown = np.arange(max(0, steps - MAX_STEPS), steps)
        for axes, (index, word) in zip(cells, chosen.items(), strict=True):
            axes.plot(shown + 1, y[index][shown], color=style.INK, lw=1.2, label="measured")
            axes.plot(
                shown + 1,
                mean[index][shown],
                color=style.SPLITS[view.selection_split].color,
                ls=style.DASHES,
                label="predicted",
            )
            title = f"series {index + 1}" + (f" of {count:,}, {word}" if count > 1 else "")
            layout.panel_title(axes, title, f"RMS {with_unit(float(errors[index]), unit)}")
            axes.set_ylabel(named(name, unit))
        cells[-1].set_xlabel("step")
        layout.shared_legend(figure, cells[0])
        typical = with_unit(float(np.median(errors)), unit)
        split = style.split_word(view.selection_split).capitalize()
        layout.headline(figure, f"{split} series are predicted to within {typical} (RMS) at a step")
        return figure, (
            "The target at each step and what the model made of the steps so far, for the series of this split that it "
            "predicts best, in the middle and worst."
        )


def _steps(view: RunView) -> int:
    """How many rows of the arrays are one series; 0 where they are none."""
    steps = view.facts.get("steps")
    return steps if isinstance(steps, int) else 0
