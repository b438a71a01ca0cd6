"""What a generative model makes: reconstructions, samples, and the plane of its codes."""

import numpy as np
from matplotlib.figure import Figure

from dlcourse.plots import layout, style
from dlcourse.plots.mosaic import Mosaic
from dlcourse.plots.plot import Plot, seen
from dlcourse.plots.run_view import RunView
from dlcourse.plots.text import clip

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
        return images is not None and images.ndim == 4

    def draw(self, view: RunView) -> tuple[Figure, str]:
        images = seen(view.images("samples"))
        mosaic = Mosaic(images, [""] * len(images), 10 if len(images) <= 50 else 20)
        layout.headline(mosaic.figure, f"{view.model}: {len(images)} samples")
        return mosaic.figure, "Each image is drawn anew from the model: none of them is in the data."


class LatentPlane(Plot):
    kind, name, order = "run", "latent_plane", 68

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
