"""Receptive fields drawn on an image, and what of the last one is used."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from dlcourse.plots import layout, style
from dlcourse.plots.mosaic import in_color
from dlcourse.plots.plot import Plot, seen
from dlcourse.plots.run_view import Explanation, RunView


class ReceptiveField(Plot):
    kind, name, order = "run", "receptive_field", 76

    def applies(self, view: RunView) -> bool:
        return self._parts(view.explanation(self.name)) is not None

    def _parts(self, found: Explanation) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """An image, the bounds (L, 2, 2) of the field of each layer, and how much of the last one is used, (H, W)."""
        images, names = found.images(), found.words("maps")
        bounds = found.get("bounds", len(names), 2, 2) if names else None
        used = None if images is None else found.get("used", *images.shape[1:3])
        return None if images is None or bounds is None or used is None else (images[0], bounds, used)

    def draw(self, view: RunView) -> tuple[Figure, str]:
        found = view.explanation(self.name)
        image, bounds, used = seen(self._parts(found))
        names = [each.split("\n") for each in found.words("maps")]
        figure, (left, right) = layout.panels(2, height=4.2)
        left.imshow(in_color(image), interpolation="nearest")
        shown = right.imshow(used, cmap=style.HEAT, vmin=0, vmax=1, interpolation="nearest")
        colors = style.line_colors(len(bounds), ramp=False)
        for box, lines, color in zip(bounds, names, colors, strict=True):
            left.add_patch(_frame(box, color, label=", ".join(lines)))
        right.add_patch(_frame(bounds[-1], colors[-1]))
        for axes in (left, right):
            axes.set(xticks=[], yticks=[], xlim=(-0.5, used.shape[1] - 0.5), ylim=(used.shape[0] - 0.5, -0.5))
            axes.grid(False)
        layout.panel_title(left, "what a unit may see")
        layout.panel_title(right, f"what one of {names[-1][0]} uses")
        bar = figure.colorbar(shown, ax=right, location="bottom", shrink=0.5, aspect=18, pad=0.02, ticks=[0, 1])
        bar.ax.set_xticklabels(["nothing", "most"])
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=3)
        layout.headline(figure, f"{view.model}: receptive fields of units in the middle of the maps")
        return figure, (
            "Left: the pixels that the middle unit of each layer can depend on, by the sizes of kernels and steps; "
            "right: how much the sum of the last layer's channels there changes with each pixel, averaged over images."
        )


def _frame(box: np.ndarray, color: str, **settings: str) -> Rectangle:
    """The bounds (top, bottom), (left, right) as a frame round these pixels."""
    (top, bottom), (left, right) = np.asarray(box, float)
    corner = (left - 0.5, top - 0.5)
    return Rectangle(corner, right - left, bottom - top, fill=False, ec=color, lw=2.2, **settings)  # type: ignore[arg-type]
