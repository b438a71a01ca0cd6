"""The class that a classifier gives to each point of a two-dimensional input."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dlcourse.plots import layout, style
from dlcourse.plots.plot import Plot, seen
from dlcourse.plots.run_view import RunView
from dlcourse.plots.text import named, percent


class DecisionRegions(Plot):
    kind, name, order = "run", "decision_regions", 12

    def applies(self, view: RunView) -> bool:
        grid, output = _grid(view), view.predictions.get("grid_output")
        return (
            view.task == "classification"
            and grid is not None
            and output is not None
            and grid.ndim == 3
            and output.ndim == 3
            and grid.shape[2] == 2
            and grid.shape[:2] == output.shape[:2]
            and output.shape[2] > 1
        )

    def draw(self, view: RunView) -> tuple[Figure, str]:
        grid, output = seen(_grid(view)), view.predictions["grid_output"].astype(float)
        figure, axes = style.subplots(height=5.2)
        axes.grid(False)
        _regions(axes, grid, output)
        wrong = _points(axes, view)
        ellipses = _ellipses(axes, view)
        (left, bottom), (right, top) = grid.min(axis=(0, 1)), grid.max(axis=(0, 1))
        axes.set(xlim=(left, right), ylim=(bottom, top))
        if view.feature(0)[1] == view.feature(1)[1] and 0.4 < np.ptp(axes.get_xlim()) / np.ptp(axes.get_ylim()) < 2.5:
            axes.set_aspect("equal")
        axes.set(xlabel=named(*view.feature(0)), ylabel=named(*view.feature(1)))
        layout.legend(axes, _handles(view, output.shape[2], wrong))
        layout.headline(figure, _title(view))
        return figure, _caption(wrong, ellipses)


def _grid(view: RunView) -> np.ndarray | None:
    """Where the outputs are known, (M, M, 2); None where the folder does not say."""
    along = view.predictions.get("grid_axes")
    if along is None:
        return view.predictions.get("grid_x")  # as earlier versions wrote it
    return np.stack(np.meshgrid(*along), axis=-1) if along.ndim == 2 and len(along) == 2 else None


def _regions(axes: Axes, grid: np.ndarray, output: np.ndarray) -> None:
    x, y = grid[..., 0], grid[..., 1]
    for index in range(output.shape[2]):
        others = np.delete(output, index, axis=2).max(axis=2)
        # How far a class is ahead of the next one: zero on the boundary, so the boundary comes out smooth.
        ahead = np.clip(np.nan_to_num(output[..., index] - others, nan=-1e6), -1e6, 1e6)
        if ahead.max() > 0:
            color, _ = style.class_look(index)
            axes.contourf(x, y, ahead, levels=[0, 2e6], colors=[style.tint(color)], zorder=0)
            if ahead.min() < 0:
                axes.contour(x, y, ahead, levels=[0], colors=[style.INK], linewidths=1.1, zorder=2)


def _points(axes: Axes, view: RunView) -> int:
    """All points in the color and shape of their true class; how many of those judged are crossed out as wrong."""
    crossed = 0
    for split, subset in view.splits.items():
        if subset.x is None or subset.x.shape[1] != 2:
            continue
        many = len(subset.y) > 800
        for index in range(subset.output.shape[1]):
            color, marker = style.class_look(index)
            own = subset.x[subset.y == index]
            axes.scatter(
                own[:, 0],
                own[:, 1],
                s=7 if many else 22,
                marker=marker,
                color=color,
                edgecolors="white",
                linewidths=0.2 if many else 0.5,
                alpha=0.9,
                zorder=3,
            )
        if split == view.selection_split:
            wrong = subset.x[subset.output.argmax(axis=1) != subset.y]
            axes.scatter(wrong[:, 0], wrong[:, 1], s=34, marker="x", color=style.INK, linewidths=1.3, zorder=4)
            crossed = len(wrong)
    return crossed


def _ellipses(axes: Axes, view: RunView) -> bool:
    means = view.predictions.get("gaussian_means")
    covariances = view.predictions.get("gaussian_covariances")
    if means is None or covariances is None or means.shape[1:] != (2,) or covariances.shape[1:] != (2, 2):
        return False
    angle = np.linspace(0, 2 * np.pi, 181)
    circle = np.stack([np.cos(angle), np.sin(angle)])  # (2, 181)
    for index, (mean, covariance) in enumerate(zip(means, covariances, strict=True)):
        color, _ = style.class_look(index)
        values, vectors = np.linalg.eigh(covariance)
        root = vectors * np.sqrt(np.maximum(values, 0))  # root root^T = covariance
        for sigmas, width in ((1, 2.0), (2, 1.5), (3, 1.0)):
            x, y = mean[:, None] + sigmas * root @ circle
            axes.plot(x, y, color=color, lw=width, zorder=5)
        axes.plot(*mean, marker="+", ms=11, mew=2.2, color=style.INK, zorder=6)
    return True


def _handles(view: RunView, classes: int, wrong: int) -> list[Line2D]:
    looks = [style.class_look(index) for index in range(min(classes, 10))]
    handles = [
        Line2D([], [], ls="", color=color, marker=marker, ms=6, label=view.class_name(index))
        for index, (color, marker) in enumerate(looks)
    ]
    if wrong:
        label = f"wrong ({style.split_word(view.selection_split)})"
        handles.append(Line2D([], [], ls="", color=style.INK, marker="x", mew=1.3, label=label))
    return handles


def _title(view: RunView) -> str:
    if not view.selection_split:
        return f"{view.model}: decision regions"
    right = {split: float(np.mean(each.output.argmax(axis=1) == each.y)) for split, each in view.splits.items()}
    chosen = view.selection_split
    trained = right.get("train", 0.0)
    beside = f", {percent(trained)} of training points" if trained - right[chosen] > 0.1 else ""
    return f"{view.model}: {percent(right[chosen])} of {style.split_word(chosen)} points are right{beside}"


def _caption(wrong: int, ellipses: bool) -> str:
    caption = "Tinted: the class predicted at each point; samples have the color and shape of their true class"
    caption += ", those crossed are classified wrongly" if wrong else ""
    caption += "; ellipses lie one, two and three standard deviations from each class mean" if ellipses else ""
    return caption + "."
