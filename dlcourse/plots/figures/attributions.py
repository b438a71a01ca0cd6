"""Maps of images: which pixels a score depends on, by several methods side by side."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from dlcourse.plots import layout, style
from dlcourse.plots.mosaic import Mosaic, colored, in_color
from dlcourse.plots.plot import Plot, seen
from dlcourse.plots.run_view import Explanation, RunView

NAMES = {
    "saliency": "saliency",
    "smooth_grad": "SmoothGrad",
    "integrated_gradients": "integrated\ngradients",
    "grad_cam": "Grad-CAM",
    "occlusion": "occlusion",
}
SIGNED = ("integrated_gradients", "occlusion")
MEANING = {
    "saliency": "saliency, how much a small change of the pixel changes the score",
    "smooth_grad": "SmoothGrad, the same averaged over inputs with noise",
    "integrated_gradients": "integrated gradients, the pixel's share of the score beyond that of an input of zeros",
    "grad_cam": "Grad-CAM, the places of the last maps that speak for the class",
    "occlusion": "occlusion, how far the score falls when a window there is covered",
}
CUT = 99.5  # percentile of a map at which the scale ends: one pixel should not darken all others


def map_in_color(method: str, values: np.ndarray, image: np.ndarray) -> np.ndarray:
    """A map (H, W) in bytes, scaled by itself; Grad-CAM's over the image, gray."""
    size = abs(values)
    top = np.percentile(size, CUT) or size.max() or 1.0
    if method in SIGNED:
        return colored(0.5 + 0.5 * values / top, style.DIVERGING)
    heat = colored(values / top, style.HEAT)
    if method != "grad_cam":
        return heat
    gray = image.mean(axis=-1, keepdims=True)
    return (0.4 * gray + 0.6 * heat).round().astype(np.uint8)


class Attributions(Plot):
    kind, name, order = "run", "attributions", 72

    def applies(self, view: RunView) -> bool:
        return self._maps(view.explanation(self.name)) is not None

    def _maps(self, found: Explanation) -> Mapping[str, np.ndarray] | None:
        """The maps by method, where there are such that fit the images."""
        images = found.images()
        if images is None or len(found.words("images")) != len(images):
            return None
        shape: Any = images.shape[:3]
        maps = {method: found.get(f"map_{method}", *shape) for method in found.words("maps") if method in NAMES}
        return {method: values for method, values in maps.items() if values is not None} or None

    def draw(self, view: RunView) -> tuple[Figure, str]:
        found = view.explanation(self.name)
        images, maps = in_color(seen(found.images())), seen(self._maps(found))
        rows = [images] + [
            np.stack([map_in_color(method, *pair) for pair in zip(values, images, strict=True)])
            for method, values in maps.items()
        ]
        labels = found.words("images") + [""] * (len(images) * len(maps))
        names = ["image", *(NAMES[method] for method in maps)]
        mosaic = Mosaic(np.concatenate(rows), labels, len(images), rows=names)
        if any(method in SIGNED for method in maps):
            mosaic.scale(style.DIVERGING, ("against", "for"))
        if any(method not in SIGNED for method in maps):
            mosaic.scale(style.HEAT, ("nothing", "most"))
        layout.headline(mosaic.figure, f"{view.model}: what the score of a class rests on")
        meaning = "; ".join(MEANING[method] for method in maps)
        return mosaic.figure, (
            f"Below each image what the score of the class named first, or after the word for, rests on: {meaning}."
        )
