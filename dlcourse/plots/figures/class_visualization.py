"""Images that a net is as sure of as it can be, one for each class."""

from matplotlib.figure import Figure

from dlcourse.plots import layout
from dlcourse.plots.mosaic import Mosaic
from dlcourse.plots.plot import Plot, seen
from dlcourse.plots.run_view import RunView


class ClassVisualization(Plot):
    kind, name, order = "run", "class_visualization", 73

    def applies(self, view: RunView) -> bool:
        found = view.explanation(self.name)
        images = found.images()
        return images is not None and len(found.words("images")) == len(images)

    def draw(self, view: RunView) -> tuple[Figure, str]:
        found = view.explanation(self.name)
        images = seen(found.images())
        mosaic = Mosaic(images, found.words("images"), 5 if len(images) <= 10 else 10)
        layout.headline(mosaic.figure, f"{view.model}: what it would most like to see of each class")
        return mosaic.figure, (
            "Each image began as noise and was changed step by step towards a higher score of its class, moved and "
            "blurred on the way; below it that score, far above that of any real image."
        )
