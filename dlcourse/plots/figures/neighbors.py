"""The training images that a model finds most similar to a few others."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dlcourse.plots import layout, style
from dlcourse.plots.mosaic import Mosaic
from dlcourse.plots.plot import Plot, seen
from dlcourse.plots.run_view import RunView

RIGHT, WRONG = style.CLASSES[0], style.CLASSES[4]


class Neighbors(Plot):
    kind, name, order = "run", "neighbors", 62

    def applies(self, view: RunView) -> bool:
        queries, similar = view.images("queries"), view.images("similar")
        if queries is None or similar is None or not view.report_split:
            return False
        if queries.ndim != 4 or similar.shape[:1] + similar.shape[2:] != queries.shape:
            return False
        known = [view.labels(f"queries_{what}", queries) for what in ("true", "predicted")]
        return all(labels is not None for labels in [*known, view.labels("similar_true", similar)])

    def draw(self, view: RunView) -> tuple[Figure, str]:
        queries, similar = seen(view.images("queries")), seen(view.images("similar"))  # (Q, H, W, C), (Q, S, H, W, C)
        names = ("queries_true", "queries_predicted", "similar_true")
        true, predicted, classes = (view.predictions[name] for name in names)
        labels = [
            view.class_name(own) + ("" if own == said else f"\n→ {view.class_name(said)}")
            for own, said in zip(true, predicted, strict=True)
        ]
        figure, same = _rows(view, queries, labels, true, similar, classes)
        split = style.split_word(view.report_split)
        layout.headline(figure, f"{view.model}: {_alike(same)} {split} image")
        return figure, (
            f"Left: the first {split} image of each class, with the predicted class where that is another; to "
            "its right the training images nearest to it, the nearest first."
        )


class FeatureNeighbors(Plot):
    kind, name, order = "run", "feature_neighbors", 74

    def applies(self, view: RunView) -> bool:
        found = view.explanation(self.name)
        queries, similar = found.images(), found.arrays.get("similar")
        if queries is None or similar is None or similar.dtype != queries.dtype or similar.ndim != 5:
            return False
        shape: tuple[int, ...] = similar.shape[:2]
        fits = similar.shape[:1] + similar.shape[2:] == queries.shape and len(found.words("images")) == len(queries)
        return fits and found.get("similar_true", *shape) is not None and found.get("true", len(queries)) is not None

    def draw(self, view: RunView) -> tuple[Figure, str]:
        found = view.explanation(self.name)
        arrays = found.arrays
        true, classes = arrays["true"].astype(int), arrays["similar_true"].astype(int)
        figure, same = _rows(view, seen(found.images()), found.words("images"), true, arrays["similar"], classes)
        layout.headline(figure, f"{view.model}: {_alike(same)} image, by its features")
        return figure, (
            "Left: an image; to its right the training images that are nearest to it where the last linear layer "
            "looks, with their classes, the nearest first."
        )


def _alike(same: np.ndarray) -> str:
    return f"{int(same.sum())} of {same.size} nearest training images have the class of the"


def _rows(
    view: RunView, queries: np.ndarray, labels: list[str], true: np.ndarray, similar: np.ndarray, classes: np.ndarray
) -> tuple[Figure, np.ndarray]:
    """Each query with what is similar in a row, framed; and which have its class, (Q, S)."""
    rows = np.concatenate([queries[:, None], similar], axis=1)
    columns = rows.shape[1]
    words = [word for own, others in zip(labels, classes, strict=True) for word in (own, *map(view.class_name, others))]
    mosaic = Mosaic(rows.reshape(-1, *rows.shape[2:]), words, columns, apart=True)
    same = classes == true[:, None]
    for row, column in np.ndindex(same.shape):
        right = same[row, column]
        mosaic.frame(row * columns + 1 + column, RIGHT if right else WRONG, dashed=not right)
    handles = [
        Line2D([], [], color=RIGHT, lw=2, label="of the query's class"),
        Line2D([], [], color=WRONG, lw=2, ls=(0, (3, 1.5)), label="of another"),
    ]
    mosaic.figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return mosaic.figure, same
