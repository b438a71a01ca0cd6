"""The loss around a trained net, where `dlcourse landscape` measured it."""

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from dlcourse.plots import layout, style
from dlcourse.plots.curves import wants_log
from dlcourse.plots.plot import Plot
from dlcourse.plots.run_view import RunView
from dlcourse.plots.text import number

LEVELS = 18


class Landscape(Plot):
    kind, name, order = "run", "landscape", 48

    def applies(self, view: RunView) -> bool:
        values = view.arrays("landscape.npz").get("values")
        return values is not None and values.ndim == 2 and np.isfinite(values).sum() > 8 and np.nanmax(values) > 0

    def draw(self, view: RunView) -> tuple[Figure, str]:
        arrays = view.arrays("landscape.npz")
        along, values = arrays["along"], np.where(np.isfinite(arrays["values"]), arrays["values"], np.nan)
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        log = wants_log([values], ratio=10)
        levels = np.geomspace(low, high, LEVELS) if log else np.linspace(low, high, LEVELS)
        figure, axes = style.subplots(height=5.2)
        shades = axes.contourf(along, along, values, levels, cmap=style.SEQUENTIAL, norm=LogNorm() if log else None)
        axes.contour(along, along, values, levels, colors="white", linewidths=0.5, alpha=0.6)
        axes.plot(0, 0, "*", ms=13, color="white", mec=style.INK)
        axes.set(xlabel="first direction", ylabel="second direction")
        axes.set_aspect("equal")
        axes.grid(False)
        bar = figure.colorbar(shades, ax=axes, label="training loss")
        ticks = levels[::4].tolist()
        bar.set_ticks(ticks, labels=[number(each, 2) for each in ticks])
        center = values[len(values) // 2, len(values) // 2]
        layout.headline(figure, f"Around the trained net the loss rises from {number(center, 3)} to {number(high, 3)}")
        samples = number(arrays.get("samples", np.array(0)))
        return figure, f"Weights moved along two random directions, in lengths of their filters; {samples} samples."
