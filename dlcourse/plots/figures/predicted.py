"""Predictions against what was measured: regression whose inputs are too many, or targets too many, for a curve."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dlcourse.plots import layout, style
from dlcourse.plots.curves import span
from dlcourse.plots.figures.fit import has_curve, off_by
from dlcourse.plots.plot import Plot
from dlcourse.plots.run_view import RunView
from dlcourse.plots.text import clip, named

MAX_TARGETS = 6


class Predicted(Plot):
    kind, name, order = "run", "predicted", 14

    def applies(self, view: RunView) -> bool:
        return view.task == "regression" and bool(view.splits) and not has_curve(view)

    def draw(self, view: RunView) -> tuple[Figure, str]:
        targets = min(next(iter(view.splits.values())).y.shape[1], MAX_TARGETS)
        figure, cells = layout.panels(targets, min(3, targets), height=4.6 if targets == 1 else 3.2)
        for index, axes in enumerate(cells):
            _panel(axes, view, index)
            if targets > 1:
                axes.set_title(clip(view.targets[index][0]), loc="left")
        layout.legend(cells[0]) if targets == 1 else cells[0].legend(loc="best")
        layout.headline(figure, off_by(view))
        return figure, "Each point is one sample; on the dashed diagonal the prediction is what was measured."


def _panel(axes: Axes, view: RunView, index: int) -> None:
    for split, subset in view.splits.items():
        style.scatter(axes, split, subset.y[:, index], subset.mean[:, index], many=view.many)
    values = [subset.y[:, index] for subset in view.splits.values()]
    limits = span(values, margin=0.05)
    if limits:
        axes.plot(limits, limits, color=style.INK, lw=1.2, ls=style.DASHES)
        axes.set_xlim(*limits)
        outputs = np.concatenate([subset.mean[:, index] for subset in view.splits.values()])
        # A few predictions far off must not flatten the rest.
        room = 0.5 * (limits[1] - limits[0])
        axes.set_ylim(span([np.clip(outputs, limits[0] - room, limits[1] + room), np.array(limits)], margin=0.0))
    one = len(view.targets) == 1
    name, unit = view.targets[index]
    axes.set(
        xlabel=named(f"measured {name}" if one else "measured", unit),
        ylabel=named(f"predicted {name}" if one else "predicted", unit),
    )
