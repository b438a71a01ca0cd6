"""What the layers of a convolutional net make of an image."""

import numpy as np
from matplotlib.figure import Figure

from dlcourse.plots import layout, style
from dlcourse.plots.mosaic import Mosaic, colored, enlarged, in_color
from dlcourse.plots.plot import Plot, seen
from dlcourse.plots.run_view import Explanation, RunView

MAX_ROWS = 8


class ActivationMaps(Plot):
    kind, name, order = "run", "activation_maps", 71

    def applies(self, view: RunView) -> bool:
        return bool(self._layers(view.explanation(self.name)))

    def _layers(self, found: Explanation) -> list[tuple[str, np.ndarray, np.ndarray]]:
        """Name, maps (M, h, w, K) and the channels' numbers of each layer."""
        images, layers = found.images(), []
        for place, name in enumerate(found.words("maps")):
            maps = None if images is None else found.get(f"maps_{place}", len(images), None, None, None)
            channels = None if maps is None else found.get(f"channels_{place}", maps.shape[3])
            if maps is not None and channels is not None:
                layers.append((name, maps.astype(np.float32), channels))
        return layers

    def draw(self, view: RunView) -> tuple[Figure, str]:
        found = view.explanation(self.name)
        images, layers = in_color(seen(found.images())), self._layers(found)
        height, width = images.shape[1:3]
        columns = 1 + max(len(channels) for _, _, channels in layers)
        cells, labels = [], []
        for image, i in list(zip(images, range(len(images)), strict=True))[: max(1, MAX_ROWS // len(layers))]:
            for name, maps, channels in layers:
                values = maps[i] / (maps[i].max() or 1.0)  # what a ReLU would cut is dark
                shown = [enlarged(colored(values[..., k], style.HEAT), height, width) for k in range(len(channels))]
                blank = [np.full_like(image, 255)] * (columns - 1 - len(channels))
                cells += [image, *shown, *blank]
                labels += [name, *(f"channel {k}" for k in channels), *[""] * len(blank)]
        mosaic = Mosaic(np.stack(cells), labels, columns, apart=True)
        mosaic.scale(style.HEAT, ("0", "largest"))
        layout.headline(mosaic.figure, f"{view.model}: what its layers make of an image")
        return mosaic.figure, (
            "Each row: an image and the maps of a layer's strongest channels, bright where the channel answers, scaled "
            "by the row's largest value; under the image the layer and the shape of its output."
        )
