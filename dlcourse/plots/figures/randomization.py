"""The sanity check of maps: what becomes of them when the net's weights are made random."""

import numpy as np
from matplotlib.figure import Figure

from dlcourse.plots import layout
from dlcourse.plots.figures.attributions import NAMES, map_in_color
from dlcourse.plots.mosaic import Mosaic, in_color
from dlcourse.plots.plot import Plot, seen
from dlcourse.plots.run_view import Explanation, RunView

ALIKE = 0.5
"""The rank correlation from which a map counts as much the same."""


def named_in_text(method: str) -> str:
    """A method in a sentence."""
    return NAMES[method].replace("\n", " ")


class Randomization(Plot):
    kind, name, order = "run", "randomization", 77

    def applies(self, view: RunView) -> bool:
        return bool(self._maps(view.explanation(self.name)))

    def _maps(self, found: Explanation) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """By method the maps of one image (1 + L, H, W) and their rank correlations with the first, (1 + L,)."""
        images, layers = found.images(), found.words("layers")
        maps = {}
        for method in NAMES if images is not None else ():
            values = found.get(f"map_{method}", 1 + len(layers), *seen(images).shape[1:3])
            alike = found.get(f"alike_{method}", 1 + len(layers))
            if values is not None and alike is not None:
                maps[method] = values, alike
        return maps

    def draw(self, view: RunView) -> tuple[Figure, str]:
        found = view.explanation(self.name)
        image, maps, layers = in_color(seen(found.images()))[0], self._maps(found), found.words("layers")
        cells, labels = [], []
        for method, (values, alike) in maps.items():
            under = [f"{layer}\n{each:.2f}" for layer, each in zip(layers, alike[1:], strict=True)]
            cells += [image, *(map_in_color(method, each, image) for each in values)]
            labels += ["", "trained", *under]
        names = [NAMES[method] for method in maps]
        mosaic = Mosaic(np.stack(cells), labels, 2 + len(layers), apart=True, rows=names)
        last = {method: abs(float(alike[-1])) for method, (_, alike) in maps.items()}
        most = max(last, key=lambda method: last[method])
        if last[most] < ALIKE:
            title = f"random weights change every map (rank correlation {last[most]:.2f} at most)"
        else:
            title = f"random weights leave {named_in_text(most)} much as they were (rank correlation {last[most]:.2f})"
        layout.headline(mosaic.figure, f"{view.model}: {title}")
        return mosaic.figure, (
            "From left to right more layers are made random, from the last to the first; under each map the layer and "
            "the rank correlation with the trained net's, the mean over the images. A map that stays as it is would "
            "not show what the net has learned."
        )
