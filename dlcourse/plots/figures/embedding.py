"""Images as points, by what the last layer of a net sees of them."""

import numpy as np
from matplotlib.figure import Figure

from dlcourse.plots import layout, style
from dlcourse.plots.plot import Plot
from dlcourse.plots.run_view import Explanation, RunView
from dlcourse.plots.text import percent

MAX_CLASSES = 16
NAMES = {"pca": "PCA", "tsne": "t-SNE"}


class Embedding(Plot):
    kind, name, order = "run", "embedding", 75

    def applies(self, view: RunView) -> bool:
        return bool(self._places(view.explanation(self.name)))

    def _places(self, found: Explanation) -> dict[str, np.ndarray]:
        """The points (N, 2) of each method, where classes belong to them."""
        labels = found.get("labels", None)
        places = {} if labels is None else {method: found.get(method, len(labels), 2) for method in NAMES}
        return {method: points for method, points in places.items() if points is not None}

    def draw(self, view: RunView) -> tuple[Figure, str]:
        found = view.explanation(self.name)
        places, labels = self._places(found), found.arrays["labels"].astype(int)
        figure, cells = layout.panels(len(places), height=4.6)
        share = found.get("variance", 2)
        for axes, (method, points) in zip(cells, places.items(), strict=True):
            for label in np.unique(labels)[:MAX_CLASSES]:
                color, marker = style.class_look(int(label))
                chosen = points[labels == label]
                axes.scatter(
                    chosen[:, 0],
                    chosen[:, 1],
                    s=9,
                    color=color,
                    marker=marker,
                    lw=0,
                    alpha=0.7,
                    label=view.class_name(int(label)),
                )
            axes.set_aspect("equal", adjustable="datalim")
            if method == "tsne":
                axes.set(xticks=[], yticks=[])
            elif share is not None:
                axes.locator_params(nbins=6)
                axes.set(
                    xlabel=f"first component, {percent(float(share[0]))} of the variance",
                    ylabel=f"second, {percent(float(share[1]))}",
                )
            layout.panel_title(axes, NAMES[method])
        figure.legend(*cells[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, markerscale=2)
        layout.headline(figure, f"{view.model}: {len(labels):,} images by what its last layer sees")
        return figure, (
            "Each point is an image, its color its class; near ones are alike to the net. PCA keeps distances as far "
            "as two directions can; in t-SNE only near means something, not how far apart groups are."
        )
