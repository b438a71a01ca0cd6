"""The confusion matrix."""

import numpy as np
from matplotlib.figure import Figure

from dlcourse.plots import layout, style
from dlcourse.plots.plot import Plot
from dlcourse.plots.run_view import RunView, SplitArrays
from dlcourse.plots.text import percent

MAX_CLASSES = 20


def counts(subset: SplitArrays) -> np.ndarray:
    """(C, C): how many samples of the row's class are given the column's class."""
    classes = subset.output.shape[1]
    matrix = np.zeros((classes, classes), dtype=int)
    np.add.at(matrix, (subset.y, subset.output.argmax(axis=1)), 1)
    return matrix


def known_classes(view: RunView) -> int:
    """How many classes a classifier tells apart, where all labels of the split reported are among them; else 0."""
    if view.task != "classification" or not view.report_split:
        return 0
    subset = view.splits[view.report_split]
    classes = subset.output.shape[1]
    return classes if np.all((subset.y >= 0) & (subset.y < classes)) else 0


class Confusion(Plot):
    kind, name, order = "run", "confusion", 30

    def applies(self, view: RunView) -> bool:
        return 2 <= known_classes(view) <= MAX_CLASSES

    def draw(self, view: RunView) -> tuple[Figure, str]:
        matrix = counts(view.splits[view.report_split])
        classes = len(matrix)
        share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        names = [view.class_name(index) for index in range(classes)]
        figure, axes = style.subplots(height=min(6.4, 3.4 + 0.28 * classes))
        image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")  # cells fill the figure
        size = 10 if classes <= 6 else 8 if classes <= 12 else 6.5
        for (row, column), count in np.ndenumerate(matrix):
            if count:
                color = "white" if share[row, column] > 0.55 else style.INK
                axes.text(column, row, str(count), ha="center", va="center", fontsize=size, color=color)
        longest = max(map(len, names))
        layout.name_x(axes, range(classes), names, 45 if longest * classes > 44 else 0)
        axes.set_yticks(range(classes), names)
        axes.tick_params(length=0, labelsize=9 if classes <= 12 else 7.5)
        axes.grid(False)
        axes.spines[:].set_visible(False)
        axes.set(xlabel="predicted class", ylabel="true class")
        bar = figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true class")
        bar.outline.set_visible(False)
        label = style.split_word(view.report_split)
        layout.headline(figure, _title(matrix, names, label))
        return figure, f"Counts of {label} samples: rows are true classes, columns predicted classes."


def _title(matrix: np.ndarray, names: list[str], label: str) -> str:
    off = matrix - np.diag(np.diag(matrix))
    if not off.any():
        return f"All {matrix.sum():,} {label} samples are classified correctly"
    called = np.flatnonzero(matrix.sum(axis=0))
    if len(called) == 1:
        return f"Every one of {matrix.sum():,} {label} samples is called {names[called[0]]}"
    right = percent(float(np.trace(matrix) / matrix.sum()))
    row, column = np.unravel_index(np.argmax(off), off.shape)
    total = matrix[row].sum()
    share = f"{off[row, column]:,} of {total:,}"
    return f"{right} of the {label} samples are right; most confused: {names[row]} as {names[column]}, {share}"
