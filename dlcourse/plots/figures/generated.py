"""What a generative model makes: reconstructions, samples, and the plane of its codes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dlcourse.plots import layout, style
from dlcourse.plots.curves import log_x
from dlcourse.plots.mosaic import Mosaic
from dlcourse.plots.plot import Plot, seen
from dlcourse.plots.reading import as_dict
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


def panels(points: Mapping[str, np.ndarray], columns: int = 4) -> Figure:
    """Points on a plane (N, 2), one panel a name, all on the same axes."""
    rows = -(-len(points) // columns)
    columns = -(-len(points) // rows)
    figure = style.canvas(style.WIDE, 0.4 + rows * (style.WIDE / columns + 0.2))
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


class Noising(Plot):
    kind, name, order = "run", "noising", 64

    def applies(self, view: RunView) -> bool:
        return _levels(view, "noised") is not None

    def draw(self, view: RunView) -> tuple[Figure, str]:
        figure = _drawn_levels(seen(_levels(view, "noised")))
        layout.headline(figure, f"{view.model}: how the data become noise")
        return figure, "The first inputs of the last split after so many of the steps that add noise."


class Denoising(Plot):
    kind, name, order = "run", "denoising", 65

    def applies(self, view: RunView) -> bool:
        return _levels(view, "denoised") is not None

    def draw(self, view: RunView) -> tuple[Figure, str]:
        figure = _drawn_levels(seen(_levels(view, "denoised")))
        layout.headline(figure, f"{view.model}: how noise becomes samples")
        return figure, "The same samples on their way from the last step, which is noise, to step 0."


class DenoisingPaths(Plot):
    kind, name, order = "run", "denoising_paths", 66

    def applies(self, view: RunView) -> bool:
        paths = view.predictions.get("denoising_paths")
        return paths is not None and paths.ndim == 3 and paths.shape[2] == 2 and min(paths.shape) > 0

    def draw(self, view: RunView) -> tuple[Figure, str]:
        paths, levels = view.predictions["denoising_paths"], _levels(view, "denoised")
        figure, axes = style.subplots(style.HEIGHT, style.HEIGHT)
        if levels:
            *_, last = levels.values()
            axes.scatter(last[:, 0], last[:, 1], s=4, color=style.GREY, alpha=0.3, linewidths=0, label="samples")
        for index, path in enumerate(np.moveaxis(paths, 1, 0)):
            axes.plot(path[:, 0], path[:, 1], color=style.class_look(index)[0], lw=0.8, alpha=0.7)
        for at, marker, label in ((0, "x", "beginning, noise"), (-1, "o", "end")):
            x, y = paths[at].T
            axes.scatter(x, y, s=12, color="black", marker=marker, lw=0.8, label=label, zorder=3)
        axes.set_aspect("equal")
        layout.legend(axes)
        layout.headline(figure, f"{view.model}: the way of {paths.shape[1]} points")
        return figure, "Each line is one sample, from noise to a point of the data."


def _levels(view: RunView, name: str) -> dict[str, np.ndarray] | None:
    """Inputs at several steps of a diffusion, images in bytes or points, by the words for the step."""
    steps, found = view.predictions.get(f"{name}_steps"), view.predictions.get(name)
    if steps is None or found is None or steps.ndim != 1 or len(steps) != len(found) or len(steps) < 2:
        return None
    images = view.images(name) if found.ndim == 5 else found
    if images is None or not (images.ndim == 5 or (images.ndim == 3 and images.shape[2] == 2)) or not images.size:
        return None
    return {f"step {number(float(step))}": each for step, each in zip(steps, images, strict=True)}


def _drawn_levels(levels: dict[str, np.ndarray]) -> Figure:
    """A row of images, or a panel of points, for each."""
    first = next(iter(levels.values()))
    if first.ndim == 2:
        return panels(levels, columns=3)
    images = np.concatenate(list(levels.values()))
    return Mosaic(images, [""] * len(images), len(first), rows=list(levels)).figure


class JudgedSamples(Plot):
    kind, name, order = "run", "judged_samples", 70

    def applies(self, view: RunView) -> bool:
        return view.judged != [] and _judged_images(view) is not None

    def draw(self, view: RunView) -> tuple[Figure, str]:
        last, images = view.judged[-1], seen(_judged_images(view))
        blank = np.full(next(iter(images.values())).shape[1:], 255, np.uint8)
        columns = max(map(len, images.values()))
        of_class = [list(images.get(label, ())) for label in range(len(last["shares"]))]
        rows = [each for own in of_class for each in own + [blank] * (columns - len(own))]
        names = [
            f"{clip(str(name), LETTERS)}: {share:.1%}"
            for name, share in zip(last["classes"], last["shares"], strict=True)
        ]
        mosaic = Mosaic(np.stack(rows), [""] * len(rows), columns, rows=names)
        title = f"{view.model}: {last['count']:,} samples judged, mean confidence {last['confidence']:.3f}"
        layout.headline(mosaic.figure, title)
        return mosaic.figure, (
            "A row for each class: samples that a trained classifier takes for it, and their share of all samples."
        )


def _judged_images(view: RunView) -> dict[int, np.ndarray] | None:
    """The samples of each class that are kept; None where they are no images or do not fit what was said of them."""
    arrays = view.arrays("judged.npz")
    images, labels, shares = (arrays.get(name) for name in ("images", "labels", "shares"))
    last = view.judged[-1]
    if not _images(images) or labels is None or images is None or labels.shape != images.shape[:1] or not len(images):
        return None
    if shares is None or len(last["classes"]) != len(last["shares"]) or shares.tolist() != last["shares"]:
        return None
    return {int(label): images[labels == label] for label in np.unique(labels)}


class JudgedSteps(Plot):
    kind, name, order = "run", "judged_steps", 71

    def applies(self, view: RunView) -> bool:
        return any(len(points) > 1 for points in _by_sampler(view).values())

    def draw(self, view: RunView) -> tuple[Figure, str]:
        figure = style.canvas(style.WIDE, style.HEIGHT)
        axes = figure.subplots(1, 2)
        for index, (sampler, points) in enumerate(_by_sampler(view).items()):
            color, marker = style.class_look(index)
            for which, each in enumerate(axes):
                each.plot(*points[:, [0, 1 + which]].T, color=color, marker=marker, ms=5, label=sampler)
        for each, words in zip(axes, ("mean confidence", "least share of a class"), strict=True):
            each.set(xlabel="steps of the sampler", ylabel=words)
            log_x(each)
            layout.legend(each)
        layout.headline(figure, f"{view.model}: samples in fewer steps, judged by a classifier")
        return (
            figure,
            "How sure a trained classifier is of the samples of each sampler, and how rare the rarest class is.",
        )


def _by_sampler(view: RunView) -> dict[str, np.ndarray]:
    """Of the last judge and weights: steps, mean confidence and least share (M, 3) for each sampler."""
    found: dict[str, dict[int, list[float]]] = {}
    for each in view.judged:
        same = all(each[key] == view.judged[-1][key] for key in ("judge", "count", "seed", "step"))
        steps = each["settings"].get("steps")
        if same and isinstance(steps, int) and "eta" not in each["settings"]:
            sampler = str(each["settings"].get("sampler") or as_dict(view.config.get("model")).get("sampler") or "")
            found.setdefault(sampler, {})[steps] = [steps, each["confidence"], min(each["shares"], default=0.0)]
    return {name: np.array([points[step] for step in sorted(points)]) for name, points in found.items()}


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
