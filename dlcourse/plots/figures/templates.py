"""The weights of a linear classifier as one image for each class."""

from matplotlib.figure import Figure

from dlcourse.plots import layout
from dlcourse.plots.mosaic import Mosaic
from dlcourse.plots.plot import Plot, seen
from dlcourse.plots.run_view import RunView

MAX_IMAGES = 50


class Templates(Plot):
    kind, name, order = "run", "templates", 60

    def applies(self, view: RunView) -> bool:
        images = view.images("templates")
        return images is not None and images.ndim == 4

    def draw(self, view: RunView) -> tuple[Figure, str]:
        images = seen(view.images("templates"))[:MAX_IMAGES]
        count, classes = len(images), len(view.facts.get("class_names") or ())
        if count == classes:
            title = f"{view.model}: what it looks for in each class"
            whose = "a class's weights"
            mosaic = Mosaic(images, [view.class_name(index) for index in range(count)], 5 if count <= 10 else 10)
        else:
            title = f"{view.model}: what {count} units of its first layer look for"
            whose = "a unit's weights"
            mosaic = Mosaic(images, [""] * count, 10)
        layout.headline(mosaic.figure, title)
        return mosaic.figure, (
            f"Each image is {whose}, scaled by itself: bright where bright pixels speak for it, dark where they "
            "speak against it, gray where they say nothing."
        )
