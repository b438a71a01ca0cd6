"""Paths of optimizers over a surface, and how fast they come near its lowest place."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dlcourse.plots import layout, style
from dlcourse.plots.curves import log_y, whole_ticks
from dlcourse.plots.plot import Plot
from dlcourse.plots.reading import as_dict, as_float
from dlcourse.plots.run_view import RunView
from dlcourse.plots.sweep_view import SweepView
from dlcourse.plots.text import capital, number
from dlcourse.text import canonical, show_value

MAX_LINES, MAX_PANELS = 16, 4
LEVELS = 16
NEAR = 1e-2
"""This near to a minimum a path has reached it."""
ROUNDED = 1e-12
"""A distance below this is rounding."""
MAX_STARS, YELLOW = 2, "#F0E442"
"""More minima than this are a line."""
MANY_STEPS = 40
"""Steps beyond which a path has no dots."""


@dataclass(frozen=True)
class Path:
    """One run's way over a surface."""

    label: str
    run: RunView
    color: Any = style.FIT
    dash: str = "-"

    @cached_property
    def steps(self) -> np.ndarray:
        return self.run.history.path()[0]

    @cached_property
    def points(self) -> np.ndarray:
        """(M, 2)"""
        return self.run.history.path()[1]

    @cached_property
    def distances(self) -> np.ndarray:
        """(M,) from the nearest minimum."""
        away = self.points[:, None] - self.run.predictions["surface_minima"]
        return np.linalg.norm(away, axis=2).min(axis=1)

    @property
    def arrival(self) -> float:
        """The step at which it is near a minimum, to stay; infinite where it is not."""
        far = np.flatnonzero(~(self.distances <= NEAR))
        after = far[-1] + 1 if far.size else 0
        return float(self.steps[after]) if after < len(self.steps) else np.inf

    @cached_property
    def rate(self) -> float:
        """What a step leaves of the distance, over the second half of the way until it stands still or nothing but
        rounding is left."""
        gone = np.flatnonzero(~(self.distances > ROUNDED * self.distances[0]))
        moved = np.flatnonzero(np.diff(self.distances))
        last = int(gone[0]) - 1 if gone.size else int(moved[-1]) + 1 if moved.size else 0
        if last < 1:
            return 0.0
        middle = last // 2
        return float((self.distances[last] / self.distances[middle]) ** (1 / (self.steps[last] - self.steps[middle])))

    @cached_property
    def theory(self) -> float | None:
        """What :attr:`rate` is by theory in a bowl, where there is one."""
        return theory(as_dict(self.run.config.get("optimizer")), self.run.predictions["surface_curvatures"])

    @property
    def result(self) -> str:
        """In words: in how many steps it arrived, or where it ended."""
        if np.isfinite(self.arrival):
            return f"{number(self.arrival)} step{'' if self.arrival == 1 else 's'}"
        return f"{number(self.distances[-1], 2)} away"


def has_path(view: RunView) -> bool:
    """Whether a run has a surface, and a path of two points at least."""
    return len(view.history.path()[0]) > 1 and "surface_minima" in view.predictions


def surface_name(view: RunView) -> str:
    """``bowl, condition 10``."""
    model = as_dict(view.config.get("model"))
    condition = model.get("condition")
    return f"{model.get('function')}" + (f", condition {number(condition)}" if condition else "")


def draw_surface(axes: Axes, view: RunView) -> None:
    """Contour lines, closer where the function is low, and the minima."""
    (a, b), values = view.predictions["surface_axes"], view.predictions["surface_values"]
    height = values - values.min()
    levels = np.geomspace(1e-4, 1, LEVELS) * height.max()
    height = np.maximum(height, 1e-6 * height.max())  # a logarithm colors them
    axes.contourf(a, b, height, levels, norm=LogNorm(), cmap="Greys", alpha=0.25, extend="both", zorder=0)
    axes.contour(a, b, height, levels, colors="#B8BEC4", linewidths=0.7, zorder=1)
    minima = view.predictions["surface_minima"]
    if len(minima) > MAX_STARS:
        axes.plot(*minima.T, color=YELLOW, lw=5, zorder=1.5)
    else:
        axes.plot(*minima.T, "*", ms=13, color=YELLOW, mec=style.INK, mew=0.8, zorder=3)
    axes.set(xlim=(a[0], a[-1]), ylim=(b[0], b[-1]), xlabel="a", ylabel="b")
    axes.grid(False)


def draw_path(axes: Axes, path: Path) -> None:
    dots = "." if len(path.points) <= MANY_STEPS else ""
    a, b = path.points.T
    axes.plot(a, b, color=path.color, ls=path.dash, lw=1.5, marker=dots, ms=5, zorder=4)
    axes.plot(a[-1], b[-1], "X", color=path.color, mec="white", mew=0.8, ms=9, zorder=6)
    axes.plot(a[0], b[0], "o", color=style.INK, ms=6, zorder=5)


def marks(view: RunView) -> tuple[Line2D, ...]:
    """What the marks of a surface are called."""
    star = Line2D([], [], ls="", marker="*", color=YELLOW, mec=style.INK, ms=11, label="minimum")
    line = Line2D([], [], lw=5, color=YELLOW, label="minima")
    return (
        Line2D([], [], ls="", marker="o", color=style.INK, label="start"),
        Line2D([], [], ls="", marker="X", color=style.GREY, ms=8, label="end"),
        line if len(view.predictions["surface_minima"]) > MAX_STARS else star,
    )


CAPTION = f"Darker is higher. Steps are those until the path stays within {NEAR:g} of a minimum."


class SurfacePath(Plot):
    kind, name, order = "run", "path", 20

    def applies(self, view: RunView) -> bool:
        return has_path(view)

    def draw(self, view: RunView) -> tuple[Figure, str]:
        path = Path(show_value(as_dict(view.config.get("optimizer")).get("name")), view)
        figure, axes = style.subplots(height=4.8)
        draw_surface(axes, view)
        draw_path(axes, path)
        layout.legend(axes, marks(view))
        layout.headline(figure, f"The path of {path.label} over {surface_name(view)}: {path.result}")
        return figure, CAPTION


def paths_by_surface(view: SweepView) -> list[list[Path]]:
    """The paths of a sweep, those over one surface together; what shares a label shares its color."""
    found: dict[str, list[tuple[str, RunView]]] = {}
    for setting in view.settings:
        for point in setting.points[:1]:
            if has_path(run := view.run(point)):
                found.setdefault(canonical(run.config.get("model")), []).append(
                    (view.telling(setting, but="model"), run)
                )
    names = list(dict.fromkeys(name for paths in found.values() for name, _ in paths))
    colors = style.line_colors(len(names), ramp=False)
    dashes = ["-" if index < len(style.CLASSES) else "--" for index in range(len(names))]
    looks = dict(zip(names, zip(colors, dashes, strict=True), strict=True))
    return [[Path(name, run, *looks[name]) for name, run in paths[:MAX_LINES]] for paths in found.values()][:MAX_PANELS]


class SurfacePaths(Plot):
    kind, name, order = "sweep", "paths", 102

    def applies(self, view: SweepView) -> bool:
        return any(has_path(run) for run in view.first_runs())

    def draw(self, view: SweepView) -> tuple[Figure, str]:
        panels = paths_by_surface(view)
        figure = style.canvas(style.WIDE, 0.5 + (4.4 if len(panels) == 1 else 3.4) * len(panels))
        cells = list(figure.subplots(len(panels), squeeze=False).flat)
        for axes, paths in zip(cells, panels, strict=True):
            draw_surface(axes, paths[0].run)
            for path in paths:
                draw_path(axes, path)
            layout.panel_title(axes, surface_name(paths[0].run))
            handles = [_handle(path, f"{path.label}: {path.result}") for path in paths] + [*marks(paths[0].run)]
            axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8.5)
        layout.headline(figure, _title(panels))
        lost = [
            view.telling(setting)
            for setting in view.settings
            if any(point.status == "diverged" for point in setting.points[:1])
        ]
        return figure, CAPTION + (f" Not drawn, as training diverged: {'; '.join(lost)}." if lost else "")


def _handle(path: Path, text: str) -> Line2D:
    return Line2D([], [], color=path.color, ls=path.dash, label=text)


def _title(panels: Sequence[Sequence[Path]]) -> str:
    if len(panels) > 1:
        return f"Paths over {'; '.join([surface_name(paths[0].run) for paths in panels])}"
    best = min(panels[0], key=lambda path: path.arrival)
    name = surface_name(best.run)
    if not np.isfinite(best.arrival):
        return f"No path over {name} reaches a minimum in {number(best.steps[-1])} steps"
    return capital(f"{best.label} is the first at the minimum of {name}, in {best.result}")


def theory(optimizer: dict[str, Any], curvatures: np.ndarray) -> float | None:
    """What a step of gradient descent leaves of the distance in a bowl in the end; None of other optimizers.

    Along a direction of curvature c the pair (w, v) is multiplied in each step by a matrix, that of v' = m v + c w,
    w' = w - lr v', or with Nesterov's w' = w - lr (c w + m v'); its largest eigenvalue is the rate (Polyak 1964).
    """
    more = {"dampening", "weight_decay", "schedule", "groups"}
    if optimizer.get("name") != "sgd" or any(optimizer.get(key) for key in more):
        return None
    lr, m = as_float(optimizer.get("lr")), as_float(optimizer.get("momentum") or 0)
    rates = []
    for c in curvatures:
        first = [1 - lr * c * (1 + m), -lr * m * m] if optimizer.get("nesterov") else [1 - lr * c, -lr * m]
        rates.append(np.abs(np.linalg.eigvals(np.array([first, [c, m]]))).max())
    return float(max(rates))


class Convergence(Plot):
    kind, name, order = "sweep", "convergence", 103

    def applies(self, view: SweepView) -> bool:
        return any(has_path(run) and "surface_curvatures" in run.predictions for run in view.first_runs())

    def draw(self, view: SweepView) -> tuple[Figure, str]:
        bowls = [paths for paths in paths_by_surface(view) if "surface_curvatures" in paths[0].run.predictions]
        every = [path for paths in bowls for path in paths]
        panels = [every] if len(every) <= len(style.CLASSES) else bowls
        figure = style.canvas(style.WIDE, 0.5 + (3.9 if len(panels) == 1 else 2.6) * len(panels))
        cells = list(figure.subplots(len(panels), squeeze=False, sharex=True).flat)
        for axes, paths in zip(cells, panels, strict=True):
            colors = style.line_colors(len(paths), ramp=False)
            for path, color in zip(paths, colors, strict=True):
                bowl = "" if panels is bowls else surface_name(path.run).removeprefix("bowl, ") + ", "
                draw_distance(axes, replace(path, color=color), bowl + path.label)
            if panels is bowls:
                layout.panel_title(axes, surface_name(paths[0].run))
            log_y(axes)
            axes.set_ylabel("distance from the minimum")
            axes.legend(
                loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8.5, title="of the distance, a step leaves"
            )
        whole_ticks(cells[-1])
        cells[-1].set_xlabel("step")
        worst = max((abs(path.rate - path.theory) for path in every if path.theory is not None), default=0.0)
        layout.headline(
            figure, f"Each step leaves the share of the distance that theory says, to within {number(worst, 1)}"
        )
        return figure, "Lines: measured; dotted, three times as high: the slope by theory, a step's largest eigenvalue."


def draw_distance(axes: Axes, path: Path, name: str) -> None:
    """How far a path is from the minimum at each step; beside it, of the same slope, what theory says."""
    label = f"{name}: {number(path.rate)}"
    if path.theory is not None:
        label += f", theory {number(path.theory)}"
    steps, there = path.steps, path.distances > ROUNDED * path.distances[0]
    axes.plot(steps[there], path.distances[there], color=path.color, label=label)
    if path.theory:
        last = int(np.flatnonzero(there)[-1])
        way = path.distances[last] * path.theory ** (steps - steps[last])
        axes.plot(steps[: last + 1], 3 * way[: last + 1], color=path.color, ls=":", lw=1.2)
