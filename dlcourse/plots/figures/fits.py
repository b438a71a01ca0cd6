"""Fits of several settings over the data, side by side: from too stiff to too supple."""

from matplotlib.figure import Figure

from dlcourse.plots import layout, style
from dlcourse.plots.figures.error_curve import ordered
from dlcourse.plots.figures.fit import draw_fit, has_curve
from dlcourse.plots.plot import Plot
from dlcourse.plots.run_view import RunView
from dlcourse.plots.sweep_view import Setting, SweepView, spread
from dlcourse.plots.text import named, number


class Fits(Plot):
    kind, name, order = "sweep", "fits", 150
    max_panels = 6

    def applies(self, view: SweepView) -> bool:
        return len(view.settings) > 1 and len(self._shown(view)) > 1

    def _shown(self, view: SweepView) -> list[tuple[Setting, RunView]]:
        axis = view.numeric_axis
        settings = ordered(axis, view.settings) if axis else list(view.settings)
        # The first point stands for its repetitions; a folder is read only if it may be shown.
        candidates = [s for s in settings if s.points and s.points[0].status == "done"]
        chosen = spread(candidates, self.max_panels, view.chosen("best"))
        pairs = [(setting, view.run(setting.points[0])) for setting in chosen]
        return [(setting, run) for setting, run in pairs if has_curve(run)]

    def draw(self, view: SweepView) -> tuple[Figure, str]:
        shown = self._shown(view)
        best = view.chosen("best")
        figure, cells = layout.panels(len(shown), sharex=True, sharey=True)
        limits = []
        for axes, (setting, run) in zip(cells, shown, strict=True):
            draw_fit(axes, run, small=True)
            limits.append(axes.get_ylim())
            mark = "  (best)" if setting is best else ""
            value = setting.mean.get(view.selected_key)
            measured = "" if value is None else f"{view.shown_metric} {number(value, 3)}"
            layout.panel_title(axes, view.label(setting.overrides) + mark, measured)
        cells[0].set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
        layout.outer_labels(cells, named(*shown[0][1].feature(0)), named(*shown[0][1].target))
        layout.shared_legend(figure, cells[0])
        layout.headline(figure, self._title(view, shown, best))
        return figure, self._caption(view, shown)

    def _caption(self, view: SweepView, shown: list[tuple[Setting, RunView]]) -> str:
        caption = "Each panel is one setting"
        if any(view.selected_key in setting.mean for setting, _ in shown):
            caption += f", with its {style.split_word(view.select[1])} {view.shown_metric}"
        left_out = len(view.settings) - len(shown)
        caption += "; shown is the first of its folds or seeds" if any(len(s.points) > 1 for s, _ in shown) else ""
        return caption + (f"; {left_out} settings are left out." if left_out else ".")

    def _title(self, view: SweepView, shown: list[tuple[Setting, RunView]], best: Setting | None) -> str:
        if best is None or all(setting is not best for setting, _ in shown):
            return "What each setting makes of the same data"
        return f"The fit at {view.label(best.overrides)} has the {view.extreme} {view.selected_name}"
