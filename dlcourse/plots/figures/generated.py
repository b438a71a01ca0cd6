"""What a generative model makes: reconstructions, samples, and the plane of its codes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dlcourse.plots import layout, style
from dlcourse.plots.mosaic import Mosaic
from dlcourse.plots.plot import Plot, seen
from dlcourse.plots.run_view import RunView
from dlcourse.plots.text import clip, number

MAX_IMAGES = 10
LETTERS = 12


class Reconstructions(Plot):
    kind, name, order = "run", "reconstructions", 66

    def applies(self, view: RunView) -> bool:
        images, others = view.images("originals"), view.images("reconstructions")
        return images is not None and others is not None and images.ndim == 4 and images.shape == others.shape

    def draw(self, view: RunView) -> tuple[Figure, str]:
        pair = [seen(view.images(name))[:MAX_IMAGES] for name in ("originals", "reconstructions")]
        columns = len(pair[0])
        mosaic = Mosaic(np.concatenate(pair), [""] * 2 * columns, columns)
        layout.headline(mosaic.figure, f"{view.model}: inputs, and what it makes of their codes")
        return mosaic.figure, "Above: the first inputs of the last split. Below: their reconstructions."


class Samples(Plot):
    kind, name, order = "run", "samples", 67

    def applies(self, view: RunView) -> bool:
        images = view.images("samples")
        return (images is not None and images.ndim == 4) or _on_a_plane(view.predictions.get("samples"))

    def draw(self, view: RunView) -> tuple[Figure, str]:
        images = view.images("samples")
        if images is None:
            points = view.predictions["samples"]
            figure, axes = style.subplots(style.HEIGHT, style.HEIGHT)
            _scatter(axes, points)
            layout.headline(figure, f"{view.model}: {len(points):,} samples")
            return figure, "Each point is drawn anew from the model: none of them is in the data."
        mosaic = Mosaic(images, [""] * len(images), 10 if len(images) <= 50 else 20)
        layout.headline(mosaic.figure, f"{view.model}: {len(images)} samples")
        return mosaic.figure, "Each image is drawn anew from the model: none of them is in the data."


class SamplesByStep(Plot):
    kind, name, order = "run", "samples_by_step", 68

    def applies(self, view: RunView) -> bool:
        kept = list(view.samples_by_step.values())
        if len(kept) < 2:
            return False
        return all(map(_on_a_plane, kept)) or all(_images(each) for each in kept)

    def draw(self, view: RunView) -> tuple[Figure, str]:
        kept: dict[int, Any] = view.samples_by_step
        title = f"{view.model}: samples of one seed while it was trained"
        if all(map(_on_a_plane, kept.values())):
            figure = panels({f"step {number(step)}": points for step, points in kept.items()})
            layout.headline(figure, title)
            return figure, "Points that the model drew from the same random numbers at some evaluations."
        columns = min(MAX_IMAGES, *map(len, kept.values()))
        images = np.concatenate([each[:columns] for each in kept.values()])
        mosaic = Mosaic(images, [""] * len(images), columns, rows=[f"step {number(step)}" for step in kept])
        layout.headline(mosaic.figure, title)
        return mosaic.figure, "A row for each of some evaluations; a column is drawn from the same random numbers."


def panels(points: Mapping[str, np.ndarray]) -> Figure:
    """Points on a plane (N, 2), one panel a name, all on the same axes."""
    columns = min(len(points), 4)
    rows = -(-len(points) // columns)
    figure = style.canvas(style.WIDE, 0.4 + rows * (style.WIDE / 4 + 0.2))
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    ends = np.array([np.nanquantile(each, (0.002, 0.998), axis=0) for each in points.values()])
    low, high = np.median(ends, axis=0)  # one panel whose points went far leaves the others large
    middle, half = (low + high) / 2, 0.55 * (high - low).max() + 1e-6
    for axes, (title, each) in zip(grid.flat, points.items(), strict=False):
        _scatter(axes, each)
        axes.set_title(title)
        axes.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] - half, middle[1] + half))
    for axes in grid.flat[len(points) :]:
        axes.set_visible(False)
    return figure


def _scatter(axes: Axes, points: np.ndarray) -> None:
    axes.scatter(points[:, 0], points[:, 1], s=4, color=style.class_look(0)[0], alpha=0.6, linewidths=0)
    axes.set_aspect("equal")


def _on_a_plane(array: Any) -> bool:
    """Whether it holds points (N, 2)."""
    return isinstance(array, np.ndarray) and array.ndim == 2 and array.shape[1] == 2 and len(array) > 0


def _images(array: Any) -> bool:
    return isinstance(array, np.ndarray) and array.ndim == 4 and array.shape[3] in (1, 3) and array.dtype == np.uint8


class LatentPlane(Plot):
    kind, name, order = "run", "latent_plane", 69

    def applies(self, view: RunView) -> bool:
        images = view.images("latent_plane")
        return images is not None and images.ndim == 5

    def draw(self, view: RunView) -> tuple[Figure, str]:
        images = seen(view.images("latent_plane"))
        rows, columns, height, width, channels = images.shape
        joined = images.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, channels)
        figure, axes = style.subplots(height=5.6)
        axes.grid(False)
        shown = joined if channels == 3 else joined[:, :, 0]
        axes.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set(xticks=[], yticks=[], xlabel="first number of the code", ylabel="second number")
        layout.headline(figure, f"{view.model}: the plane of its codes")
        return figure, "Codes at the quantiles of N(0, 1), each decoded: neighbors on the plane look alike."


class LatentCodes(Plot):
    kind, name, order = "run", "latent_codes", 69

    def applies(self, view: RunView) -> bool:
        codes, labels = view.predictions.get("codes"), view.predictions.get("code_labels")
        if codes is None or codes.ndim != 2 or codes.shape[1] != 2 or not len(codes):
            return False
        if labels is None or labels.shape != codes.shape[:1] or labels.dtype.kind not in "iu":
            return False
        return bool(labels.min() >= 0)

    def draw(self, view: RunView) -> tuple[Figure, str]:
        codes, labels = view.predictions["codes"], view.predictions["code_labels"]
        figure, axes = style.subplots(height=5.2)
        for label in np.unique(labels):
            color, marker = style.class_look(int(label))
            own = codes[labels == label]
            name = clip(view.class_name(int(label)), LETTERS)
            axes.scatter(own[:, 0], own[:, 1], s=9, color=color, marker=marker, alpha=0.7, linewidths=0, label=name)
        axes.set(xlabel="first number of the code", ylabel="second number")
        layout.legend(axes)
        layout.headline(figure, f"{view.model}: where the classes lie on the plane of its codes")
        return figure, f"Each point is the code of one of {len(codes):,} inputs; the model was not told the classes."
