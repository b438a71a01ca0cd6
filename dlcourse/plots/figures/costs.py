"""What models of a sweep reach, against what they cost: their parameters, and the operations of a forward pass."""

import numpy as np
from matplotlib.figure import Figure

from dlcourse.plots import layout, style
from dlcourse.plots.curves import log_x
from dlcourse.plots.figures.heat_map import title_of_best
from dlcourse.plots.plot import Plot
from dlcourse.plots.sweep_view import SweepView
from dlcourse.plots.text import clip

_COSTS = {"parameters": "parameters", "flops": "FLOPs"}


class Costs(Plot):
    """One point for each model, over parameters at the left and over operations at the right."""

    kind, name, order = "sweep", "costs", 117

    def applies(self, view: SweepView) -> bool:
        if len(view.axes) != 1 or view.axes[0].numeric or not 2 <= len(view.settings) <= len(style.CLASSES):
            return False
        return len(set(_costs(view, "flops"))) > 1 and bool(np.isfinite(view.selected_values).all())

    def draw(self, view: SweepView) -> tuple[Figure, str]:
        axis = view.axes[0]
        figure, cells = layout.panels(2, height=3.6, sharey=True)
        for axes, (key, label) in zip(cells, _COSTS.items(), strict=True):
            for index, (setting, cost) in enumerate(zip(view.settings, _costs(view, key), strict=True)):
                axes.errorbar(
                    cost,
                    setting.mean[view.selected_key],
                    yerr=setting.se.get(view.selected_key),
                    ls="",
                    ms=9,
                    marker=style.CLASS_MARKERS[index],
                    color=style.CLASSES[index],
                    label=clip(axis.brief(setting.overrides.get(axis.path)), 32),
                )
            log_x(axes)
            axes.set_xlabel(f"millions of {label}")
        cells[0].set_ylabel(view.selected_label)
        layout.shared_legend(figure, cells[0], columns=4)
        layout.headline(figure, title_of_best(view))
        caption = (
            "Each model's result against its parameters, and against the operations of a forward pass of one image"
        )
        return figure, f"{caption}, a multiply-add counting as two; above and to the left is better."


def _costs(view: SweepView, key: str) -> list[float]:
    """Millions of it that the first point of each setting knows; none at all where one is missing."""
    found = [getattr(setting.points[0], key) for setting in view.settings]
    return [each / 1e6 for each in found] if all(found) else []
