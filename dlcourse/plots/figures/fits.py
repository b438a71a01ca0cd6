"""Fits of several settings over the data, side by side: from too stiff to too supple."""

from matplotlib.figure import Figure

from dlcourse.plots import style
from dlcourse.plots.figures.error_curve import ordered, the_numeric_axis
from dlcourse.plots.figures.fit import draw_fit, has_curve
from dlcourse.plots.plot import Plot
from dlcourse.plots.run_view import RunView
from dlcourse.plots.sweep_view import Setting, SweepView, spread
from dlcourse.plots.text import metric_name, named, number


class Fits(Plot):
    kind, name, place = "sweep", "fits", 130
    most_panels = 6

    def applies(self, view: SweepView) -> bool:
        return len(view.settings) > 1 and len(self._shown(view)) > 1

    def _shown(self, view: SweepView) -> list[tuple[Setting, RunView]]:
        axis = the_numeric_axis(view)
        settings = ordered(view, axis) if axis else list(view.settings)
        # The first point stands for its repetitions; a folder is read only if it may be shown.
        candidates = [s for s in settings if s.points and s.points[0].status == "done"]
        chosen = spread(candidates, self.most_panels, view.chosen("best"))
        pairs = [(setting, view.run(setting.points[0])) for setting in chosen]
        return [(setting, run) for setting, run in pairs if has_curve(run)]

    def draw(self, view: SweepView) -> tuple[Figure, str]:
        shown = self._shown(view)
        best = view.chosen("best")
        figure, cells = style.panels(len(shown), sharex=True, sharey=True)
        split, metric = view.select[1], view.shown_metric
        limits = []
        for axes, (setting, run) in zip(cells, shown, strict=True):
            draw_fit(axes, run, small=True)
            limits.append(axes.get_ylim())
            mark = "  (best)" if setting is best else ""
            axes.set_title(view.label(setting.overrides) + mark, loc="left", fontweight="bold")
            value = setting.mean.get(f"{split}.{metric}")
            if value is not None:
                short = style.split_word(split)
                axes.set_title(f"{short} {metric} {number(value, 3)}", loc="right", fontsize=8.5, color=style.GREY)
        cells[0].set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
        for axes, (_, run) in zip(cells, shown, strict=True):
            spec = axes.get_subplotspec()
            if spec.is_last_row():
                axes.set_xlabel(named(*run.feature(0)))
            if spec.is_first_col():
                axes.set_ylabel(named(*run.target))
        style.shared_legend(figure, cells[0])
        style.headline(figure, self._title(view, shown, best))
        return figure, "Each panel is one setting fitted to the same data" + (
            f"; {len(view.settings) - len(shown)} settings between are left out."
            if len(shown) < len(view.settings)
            else "."
        )

    def _title(self, view: SweepView, shown: list[tuple[Setting, RunView]], best: Setting | None) -> str:
        if best is None or all(setting is not best for setting, _ in shown):
            return "What each setting makes of the same data"
        split = style.split_word(view.select[1])
        extreme = "highest" if view.higher else "least"
        return f"The fit at {view.label(best.overrides)} has the {extreme} {split} {metric_name(view.shown_metric)}"
