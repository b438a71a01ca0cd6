"""The filters of a convolution as images."""

import numpy as np
from matplotlib.figure import Figure

from dlcourse.plots import layout
from dlcourse.plots.mosaic import Mosaic
from dlcourse.plots.plot import Plot, seen
from dlcourse.plots.run_view import RunView

MAX_SLICES = 10


class Filters(Plot):
    kind, name, order = "run", "filters", 70

    def applies(self, view: RunView) -> bool:
        return view.explanation(self.name).get("filters", None, None, None, None) is not None

    def draw(self, view: RunView) -> tuple[Figure, str]:
        found = view.explanation(self.name)
        weight = seen(found.get("filters", None, None, None, None)).astype(np.float32)
        spread = 6 * np.sqrt((weight**2).mean(axis=(1, 2, 3), keepdims=True))
        bytes_ = np.clip(255 * (0.5 + weight / np.where(spread == 0, 1, spread)), 0, 255).round().astype(np.uint8)
        layer = f"{view.model}: filters of the layer {found.facts.get('layer') or '?'}"
        size = f"{weight.shape[1]} x {weight.shape[2]}"
        if found.facts.get("along_steps") is True:
            mosaic = Mosaic(bytes_, [""] * len(bytes_), 8 if len(bytes_) <= 32 else 16)
            layout.headline(mosaic.figure, layer)
            return mosaic.figure, (
                f"Each image is one filter, scaled by itself: a row for each input channel, a column for each of its "
                f"{weight.shape[2]} steps; gray where its weight is 0, bright where it is positive."
            )
        if weight.shape[3] in (1, 3):
            mosaic = Mosaic(bytes_, [""] * len(bytes_), 8 if len(bytes_) <= 32 else 16)
            layout.headline(mosaic.figure, layer)
            return mosaic.figure, (
                f"Each image is one filter of {size} pixels, scaled by itself: gray where its weight is 0; it answers "
                "most where the input looks like it."
            )
        some = bytes_[:MAX_SLICES, ..., :MAX_SLICES].transpose(0, 3, 1, 2)  # (K, C, kh, kw)
        labels = [""] * (some.shape[0] * some.shape[1])
        mosaic = Mosaic(some.reshape(-1, *some.shape[2:], 1), labels, some.shape[1])
        layout.headline(mosaic.figure, layer)
        return mosaic.figure, (
            f"Each row is one filter of {size} pixels, each column its weights for one input channel; the first of "
            f"{len(weight)} filters and of {weight.shape[3]} channels: gray is 0, bright positive."
        )
