"""What a penalty on the weights does to them: how many are near 0, and what they look like as images."""

import numpy as np
from matplotlib.figure import Figure

from dlcourse.plots import layout, style
from dlcourse.plots.curves import log_x
from dlcourse.plots.mosaic import Mosaic
from dlcourse.plots.plot import Plot, seen
from dlcourse.plots.sweep_view import Axis, Point, SweepView, spread
from dlcourse.plots.text import axis_name, capital, percent
from dlcourse.records.run import NEAR_ZERO, WEIGHT_SIZES
from dlcourse.text import show_value

PENALTIES = ("l1", "l2", "weight_decay", "ridge")
"""The last names of paths that say how large a penalty is."""


class Penalties(Plot):
    """Base of plots of sweeps over one penalty."""

    kind = "sweep"
    what: str
    """The array of the points' predictions that is shown."""
    max_settings = 8

    def applies(self, view: SweepView) -> bool:
        axis = view.numeric_axis
        return axis is not None and axis.path.rpartition(".")[2] in PENALTIES and len(self.found(view, axis)) > 1

    def found(self, view: SweepView, axis: Axis) -> list[tuple[str, np.ndarray]]:
        """Each setting in words, weakest penalty first, and its array."""
        settings = axis.sorted(view.settings, lambda setting: setting.overrides)
        arrays = {
            f"{axis_name(axis.path)} {show_value(setting.overrides[axis.path])}": self.array(view, setting.points[0])
            for setting in spread(settings, self.max_settings)
        }
        return [(name, array) for name, array in arrays.items() if array is not None]

    def array(self, view: SweepView, point: Point) -> np.ndarray | None:
        return view.run(point).predictions.get(self.what)


class Sparsity(Penalties):
    """The share of the weights that are smaller than a size, one line for each penalty."""

    name, order, what = "sparsity", 126, "weights_below"

    def draw(self, view: SweepView) -> tuple[Figure, str]:
        found = self.found(view, seen(view.numeric_axis))
        figure, axes = style.subplots()
        for (name, below), color in zip(found, style.line_colors(len(found), ramp=True), strict=True):
            axes.plot(WEIGHT_SIZES, below, color=color, label=name)
        axes.axvline(NEAR_ZERO, color=style.GREY, lw=1.2, ls=style.DASHES)
        log_x(axes)
        axes.set(xlabel="size |w|", ylabel="share of the weights below it", ylim=(-0.02, 1.02))
        layout.legend(axes)
        at = int(np.argmin(np.abs(np.array(WEIGHT_SIZES) - NEAR_ZERO)))
        shares = {name: float(each[at]) for name, each in found}
        first, most = found[0][0], max(shares, key=lambda name: shares[name])
        title = f"{percent(shares[most])} of the weights are below {NEAR_ZERO:g} at {most}, "
        title += f"{percent(shares[first])} at {first}"
        layout.headline(figure, capital(title))
        return figure, f"How large the weights are, without biases; dashed: {NEAR_ZERO:g}, below which one is near 0."


class PenalizedTemplates(Penalties):
    """The weights of the first layer as images, one row for each penalty."""

    name, order, what = "weights", 127, "templates"
    max_settings, columns = 6, 10

    def array(self, view: SweepView, point: Point) -> np.ndarray | None:
        """The weights, (K, H, W, C): the images times the scale of each."""
        images, scales = (view.run(point).predictions.get(name) for name in (self.what, "template_scales"))
        if images is None or images.ndim != 4 or images.shape[-1] not in (1, 3) or scales is None:
            return None
        return (images - 0.5) * scales[:, None, None, None]

    def draw(self, view: SweepView) -> tuple[Figure, str]:
        found = self.found(view, seen(view.numeric_axis))
        columns = min(self.columns, *(len(images) for _, images in found))
        weights = np.concatenate([weights[:columns] for _, weights in found])
        full = float(np.abs(weights).max()) or 1.0
        labels = [name if column == 0 else "" for name, _ in found for column in range(columns)]
        mosaic = Mosaic(np.round(127.5 * (1 + weights / full)).astype(np.uint8), labels, columns)
        layout.headline(mosaic.figure, f"Weights of the first layer, {found[0][0]} above to {found[-1][0]} below")
        return mosaic.figure, (
            "One row for each penalty, one image for each class or unit, all on one scale: bright where bright pixels "
            "speak for it, dark where they speak against it, gray where the weight is 0."
        )
