"""What an ensemble gains with each model that joins it."""

import numpy as np
from matplotlib.figure import Figure

from dlcourse.plots import layout, style
from dlcourse.plots.plot import Plot
from dlcourse.plots.sweep_view import SweepView
from dlcourse.plots.text import capital


class Ensemble(Plot):
    """The metric of the average of 1, 2, ... models, with each model by itself; one panel for each setting."""

    kind, name, order = "sweep", "ensemble", 108
    max_panels = 9

    def applies(self, view: SweepView) -> bool:
        return bool(view.ensembles)

    def draw(self, view: SweepView) -> tuple[Figure, str]:
        shown = view.ensembles[: self.max_panels]
        figure, cells = layout.panels(len(shown), height=3.6 if len(shown) == 1 else 3.0, sharey=True)
        for axes, each in zip(cells, shown, strict=True):
            for split in ("val", "test"):
                together = np.array([record.get(f"{split}.{view.shown_metric}", np.nan) for record in each.growing])
                alone = np.array([view.metric_at(point, split) for point in each.points])
                if not np.isfinite(together).any():
                    continue
                look, counts = style.SPLITS[split], np.arange(1, len(together) + 1)
                axes.plot(counts, together, color=look.color, marker=look.marker, label=f"{look.label}: average")
                axes.plot(counts, alone, ls="", color=look.color, marker=look.marker, mfc="none", label="each alone")
                if np.isfinite(alone).any():
                    axes.axhline(np.nanmean(alone), color=look.color, lw=1, ls=style.DASHES)
            layout.panel_title(axes, view.label(each.overrides))
            axes.set_xticks(counts if len(counts) <= 10 else counts[:: len(counts) // 5])
        layout.outer_labels(cells, "models that are averaged", view.metric_label(view.shown_metric))
        layout.legend(cells[0])
        split = view.select[1]
        gains = [
            (each.metrics.get(view.selected_key, np.nan), np.nanmean([view.metric_at(p, split) for p in each.points]))
            for each in view.ensembles
        ]
        last, mean = max(gains, key=lambda pair: pair[0] if view.higher_is_better else -pair[0])
        size = len(view.ensembles[0].points)
        title = f"{view.selected_name} of {size} models together {last:.3g}, of one {mean:.3g} on average"
        layout.headline(figure, capital(title))
        return figure, "Filled: the average of the first so many models; open: each by itself, dashed their mean."
