"""How the outputs of each activation are distributed, as ``train.watch`` saw them: at the start and at the end."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dlcourse.plots import layout, style
from dlcourse.plots.curves import log_y
from dlcourse.plots.plot import Plot
from dlcourse.plots.reading import as_dict, as_float
from dlcourse.plots.run_view import RunView
from dlcourse.plots.text import number

LOOKS = (("at the start", style.FIT), ("at the end", "#D55E00"))
FLOOR = 1e-4
_SHOWN = 9  # panels


class Activations(Plot):
    kind, name, order = "run", "activations", 45

    def applies(self, view: RunView) -> bool:
        return bool(_histograms(view))

    def draw(self, view: RunView) -> tuple[Figure, str]:
        every = _histograms(view)
        names = list(every)
        if len(names) > _SHOWN:
            names = [names[i] for i in np.linspace(0, len(names) - 1, _SHOWN).round().astype(int)]
        figure, cells = layout.panels(len(names), height=2.4, sharey=True)
        for axes, name in zip(cells, names, strict=True):
            for (words, color), facts in zip(LOOKS, every[name], strict=False):
                _stairs(axes, facts, color, words)
            spreads = [number(as_float(facts.get("std")), 2) for facts in every[name]]
            axes.set_xlabel("output")
            layout.panel_title(axes, name, f"spread {' to '.join(spreads)}")
        cells[0].set_ylim(FLOOR, 1.5)
        log_y(cells[0])
        cells[0].set_ylabel("share of outputs")
        layout.shared_legend(figure, cells[0])
        layout.headline(figure, _title(every))
        caption = "Histograms of each activation's outputs for the first training batch, with 40 equal parts each."
        return figure, caption


def _histograms(view: RunView) -> dict[str, list[dict[str, Any]]]:
    """By activation what the first and the last look saw, where they have counts."""
    looks = [as_dict(event.get("layers")) for event in view.history.watch]
    ends = [looks[0], looks[-1]] if len(looks) > 1 else looks
    names = dict.fromkeys(name for look in ends for name in look)
    found = {}
    for name in names:
        facts = [as_dict(look.get(name)) for look in ends]
        if all(map(_sound, facts)):
            found[name] = facts
    return found


def _sound(facts: Mapping[str, Any]) -> bool:
    counts = facts.get("counts")
    if not isinstance(counts, list) or not counts or not all(isinstance(each, int) for each in counts):
        return False
    return bool(np.isfinite([as_float(facts.get("low")), as_float(facts.get("high"))]).all()) and sum(counts) > 0


def _stairs(axes: Axes, facts: Mapping[str, Any], color: str, words: str) -> None:
    """The histogram; values that are all the same are one thin bar."""
    low, high = as_float(facts["low"]), as_float(facts["high"])
    room = 0.0 if high > low else 0.005 * (abs(low) or 1.0)
    counts = np.array(facts["counts"], dtype=float)
    edges = np.linspace(low - room, high + room, len(counts) + 1)
    axes.stairs(counts / counts.sum(), edges, baseline=FLOOR, fill=True, color=color, alpha=0.45, label=words)


def _title(every: Mapping[str, list[dict[str, Any]]]) -> str:
    spreads = [as_float(facts[0].get("std")) for facts in every.values()]
    if len(spreads) > 1 and spreads[0] > 0 and np.isfinite(spreads[-1]):
        ratio = number(spreads[-1] / spreads[0], 2)
        return f"At the start outputs of the last activation spread {ratio} times as far as those of the first"
    return "How the outputs of each activation are distributed"
