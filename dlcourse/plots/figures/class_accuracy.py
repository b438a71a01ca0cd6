"""The accuracy of each class."""

import numpy as np
from matplotlib.figure import Figure

from dlcourse.plots import layout, style
from dlcourse.plots.figures.confusion import counts, known_classes
from dlcourse.plots.plot import Plot
from dlcourse.plots.run_view import RunView
from dlcourse.plots.text import percent

MIN_CLASSES, MAX_CLASSES = 5, 30
"""Of fewer classes the confusion matrix says it all."""


class ClassAccuracy(Plot):
    kind, name, order = "run", "class_accuracy", 32

    def applies(self, view: RunView) -> bool:
        return MIN_CLASSES <= known_classes(view) <= MAX_CLASSES

    def draw(self, view: RunView) -> tuple[Figure, str]:
        matrix = counts(view.splits[view.report_split])
        there = np.flatnonzero(matrix.sum(axis=1))
        right, of = matrix.diagonal()[there], matrix.sum(axis=1)[there]
        order = np.argsort(right / of, kind="stable")
        names = [view.class_name(index) for index in there[order]]
        share = (right / of)[order]
        figure, axes = style.subplots(height=1.5 + 0.27 * len(there))
        axes.barh(range(len(there)), share, color=style.FIT, height=0.72)
        for place, (value, hits, total) in enumerate(zip(share, right[order], of[order], strict=True)):
            axes.text(1.02, place, f"{percent(value)}  ({hits:,} of {total:,})", va="center", fontsize=8)
        overall = right.sum() / of.sum()
        axes.axvline(overall, color=style.INK, lw=1.2, ls=style.DASHES, label=f"all classes: {percent(overall)}")
        axes.set_yticks(range(len(there)), names)
        axes.set_ylim(-0.6, len(there) - 0.4)
        axes.set_xlim(0, 1.3)  # room for the numbers
        axes.set_xticks(np.linspace(0, 1, 6))
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("share classified correctly")
        layout.legend(axes)
        split = style.split_word(view.report_split)
        best, worst = (f"{names[i]}, {percent(share[i])}" for i in (-1, 0))
        layout.headline(figure, f"Best class: {best}; worst: {worst}")
        share_of = f"The share of each class's {split} samples that are classified correctly"
        return figure, f"{share_of}; dashed: of all samples."
