"""The wrongly classified images with the highest probability."""

from matplotlib.figure import Figure

from dlcourse.plots import layout, style
from dlcourse.plots.mosaic import Mosaic
from dlcourse.plots.plot import Plot, seen
from dlcourse.plots.run_view import RunView
from dlcourse.plots.text import clip

MAX_IMAGES = 40
COLUMNS = 8
LETTERS = 12


class Mistakes(Plot):
    kind, name, order = "run", "mistakes", 64

    def applies(self, view: RunView) -> bool:
        images = view.images("mistakes")
        if images is None or images.ndim != 4 or not view.report_split:
            return False
        confidence = view.predictions.get("mistakes_confidence")
        known = (view.labels(name, images) for name in ("mistakes_true", "mistakes_predicted"))
        if confidence is None or confidence.shape != images.shape[:1]:
            return False
        return all(labels is not None for labels in known)

    def draw(self, view: RunView) -> tuple[Figure, str]:
        images = seen(view.images("mistakes"))[:MAX_IMAGES]
        columns = (view.predictions[f"mistakes_{what}"] for what in ("confidence", "predicted", "true"))
        labels = [
            f"{clip(view.class_name(predicted), LETTERS)} ({sure:.2f})\ntrue: {view.class_name(true)}"
            for sure, predicted, true, _ in zip(*columns, images, strict=False)
        ]
        mosaic = Mosaic(images, labels, COLUMNS)
        subset, split = view.splits[view.report_split], style.split_word(view.report_split)
        wrong = int((subset.output.argmax(axis=1) != subset.y).sum())
        which = "all its" if wrong <= len(images) else f"the {len(images)} surest of {wrong:,}"
        layout.headline(mosaic.figure, f"{view.model}: {which} mistakes on {len(subset.y):,} {split} images")
        what = view.facts.get("confidence") or "probability"
        return mosaic.figure, f"Under each image: the predicted class with its {what}, and the true class."
