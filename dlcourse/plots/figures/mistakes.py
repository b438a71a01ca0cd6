"""Pictures of which a model is surest, and wrong."""

import numpy as np
from matplotlib.figure import Figure

from dlcourse.plots import layout, style
from dlcourse.plots.mosaic import Mosaic
from dlcourse.plots.plot import Plot
from dlcourse.plots.run_view import RunView
from dlcourse.plots.text import clip

MAX_IMAGES = 40
COLUMNS = 8
LETTERS = 12


class Mistakes(Plot):
    kind, name, place = "run", "mistakes", 34

    def applies(self, view: RunView) -> bool:
        pictures = view.pictures("mistakes")
        if pictures is None or pictures.ndim != 4 or not view.final:
            return False
        confidence = view.predictions.get("mistakes_confidence")
        known = (view.labels(name, pictures) for name in ("mistakes_true", "mistakes_predicted"))
        return all(labels is not None for labels in known) and np.shape(confidence) == pictures.shape[:1]

    def draw(self, view: RunView) -> tuple[Figure, str]:
        pictures = view.pictures("mistakes")[:MAX_IMAGES]
        told = (view.predictions[f"mistakes_{what}"] for what in ("confidence", "predicted", "true"))
        labels = [
            f"{clip(view.class_name(predicted), LETTERS)} ({sure:.2f})\nis {view.class_name(true)}"
            for sure, predicted, true, _ in zip(*told, pictures, strict=False)
        ]
        mosaic = Mosaic(pictures, labels, COLUMNS)
        part, split = view.parts[view.final], style.SPLITS[view.final].label
        wrong = int((part.output.argmax(axis=1) != part.y).sum())
        which = "all its" if wrong <= len(pictures) else f"the {len(pictures)} surest of {wrong:,}"
        layout.headline(mosaic.figure, f"{view.model}: {which} mistakes on {len(part.y):,} {split} pictures")
        what = view.facts.get("confidence") or "probability"
        return mosaic.figure, f"Under each picture: the class it is taken for, with its {what}, and what it is."
