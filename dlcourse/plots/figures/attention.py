"""Maps of attention: where each token looks, of each head, or of each answer."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dlcourse.plots import layout, style
from dlcourse.plots.plot import Plot
from dlcourse.plots.run_view import Explanation, RunView
from dlcourse.plots.text import clip

MAX_PANELS = 144
LETTER = 0.075
"""Inches of a letter beside a map; in a cell that is smaller, letters would run into each other."""
POINTS = 5.5

SIGNS = {" ": "\u2423", "\\n": "\u21b5", "<eos>": "\u00b7", "<pad>": "\u25a1", "<bos>": "\u25b7", "<unk>": "?"}

Panel = tuple[str, np.ndarray, list[str], list[str]]


class AttentionMaps(Plot):
    kind, name, order = "run", "attention", 74

    def applies(self, view: RunView) -> bool:
        return bool(self._panels(view.explanation(self.name)))

    def _panels(self, found: Explanation) -> list[Panel]:
        """Title, weights (T, S), and the tokens of the rows and of the columns."""
        panels = []
        queries, keys = (found.facts.get(name) or [] for name in ("queries", "keys"))
        for place, (title, rows, columns) in enumerate(zip(found.words("maps"), queries, keys, strict=False)):
            weights = found.get(f"map_{place}", len(rows), len(columns))
            if weights is not None:
                panels.append((title, weights.astype(np.float32), rows, columns))
        return panels[:MAX_PANELS]

    def draw(self, view: RunView) -> tuple[Figure, str]:
        found = view.explanation(self.name)
        panels, across = self._panels(found), found.facts.get("across")
        of_heads = isinstance(across, int)
        columns = min(len(panels), max(1, across) if isinstance(across, int) else 3)
        rows, side = -(-len(panels) // columns), min(3.0 if columns > 1 else style.WIDTH, (style.WIDE - 0.6) / columns)
        tall = min(1.2, max(len(weights) / weights.shape[1] for _, weights, _, _ in panels))
        figure = style.canvas(side * columns + 0.6, (side * tall + 0.15) * rows + 0.6)
        cells = list(figure.subplots(rows, columns, squeeze=False).flat)
        for axes, panel in zip(cells, panels, strict=False):
            _draw(axes, panel, side)
        for axes in cells[len(panels) :]:
            axes.set_visible(False)
        figure.supxlabel("the tokens that it looks at" if of_heads else "what was read", fontsize=9)
        figure.supylabel("token" if of_heads else "answer", fontsize=9)
        layout.headline(figure, f"{view.model}: where {'each head looks' if of_heads else 'the decoder looks'}")
        what = "Each row is a token, each column one that it looks at"
        if not of_heads:
            what = "Each row is a token of the answer, from above, each column one of what was read"
        return figure, f"{what}; the darker, the more; each row adds up to 1."


def _draw(axes: Axes, panel: Panel, side: float) -> None:
    title, weights, rows, columns = panel
    axes.imshow(np.clip(weights, 0, 1) ** 0.5, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, pad=1, labelsize=POINTS)
    axes.set_title(clip(title, int(side / 0.08)), fontsize=8, pad=3)
    room = 0.8 * side / max(weights.shape)
    for names, set_ticks in ((columns, axes.set_xticks), (rows, axes.set_yticks)):
        shown = [_shown(name, max(2, min(6, int(room / LETTER)))) for name in names] if room >= LETTER else []
        set_ticks(range(len(shown)), shown)
        if names is columns and room < 2 * LETTER and any(len(each) > 1 for each in shown):
            axes.tick_params(axis="x", rotation=90)  # two letters side by side would run into the next


def _shown(token: str, letters: int) -> str:
    """The first letters of a token; what cannot be seen as one sign."""
    shown = SIGNS.get(token, token)
    for space in (" ", "\\n"):  # within a token of several characters
        shown = shown.replace(space, SIGNS[space])
    return shown[:letters]
