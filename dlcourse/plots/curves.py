"""Prepare curves: thinning, smoothing, the choice of a log axis, limits that hold the data."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from dlcourse.plots.reading import as_dict
from dlcourse.plots.run_view import RunView
from dlcourse.plots.text import number, power_of_ten

FEW = 60
"""Values up to which a curve is drawn as it is."""


def decimate(x: np.ndarray, y: np.ndarray, limit: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """At most ``limit`` points that look the same: of each stretch the smallest and the largest value.

    Args:
        x, y: (N,) arrays, in the order in which the curve runs.
    """
    if len(x) <= limit:
        return x, y
    edges = np.linspace(0, len(x), limit // 2 + 1).astype(int)
    chosen = []
    for start, end in zip(edges[:-1], edges[1:], strict=True):
        stretch = y[start:end]
        finite = np.flatnonzero(np.isfinite(stretch))
        if finite.size:
            chosen.extend(start + finite[[np.argmin(stretch[finite]), np.argmax(stretch[finite])]])
        else:
            chosen.append(start)
    order = np.unique(chosen)
    return x[order], y[order]


def smooth(values: np.ndarray, window: int) -> np.ndarray:
    """Moving mean over ``window`` values: centered; at the start narrower, so that it begins with the first value, and
    at the end over the last ones, so that no single batch decides where it ends. NaN does not count."""
    finite, size = np.isfinite(values), len(values)
    total = np.concatenate([[0.0], np.cumsum(np.where(finite, values, 0.0))])
    count = np.concatenate([[0], np.cumsum(finite)])
    index, half = np.arange(size), window // 2
    ending = index >= size - half
    low = np.where(ending, np.maximum(size - 1 - 2 * half, 0), np.maximum(index - half, 0))
    high = np.where(ending, size, np.minimum(index + half, 2 * index) + 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (total[high] - total[low]) / (count[high] - count[low])


def loss_curve(run: RunView) -> tuple[np.ndarray, np.ndarray]:
    """Steps and the training loss, as a moving mean where it has many values; few are left as they are."""
    steps, loss = run.history.losses(as_dict(run.config.get("train")).get("batch_size"))
    return steps, smooth(loss, max(5, len(loss) // 40)) if len(loss) > FEW else loss


def wants_log(values: Iterable[np.ndarray], ratio: float = 30.0) -> bool:
    """Whether the values are all positive and span more than ``ratio``."""
    finite = _finite(values)
    return bool(finite.size > 1 and finite.min() > 0 and finite.max() / finite.min() > ratio)


def _finite(values: Iterable[np.ndarray]) -> np.ndarray:
    joined = np.concatenate([np.ravel(np.asarray(each, dtype=float)) for each in values] or [np.empty(0)])
    return joined[np.isfinite(joined)]


def geometric(values: Iterable[float]) -> bool:
    """Whether an axis with these values reads best on a log scale: positive, and steps that grow with the value."""
    ordered = np.unique(np.asarray(list(values), dtype=float))
    if len(ordered) < 3 or not np.all(np.isfinite(ordered)) or ordered[0] <= 0 or ordered[-1] / ordered[0] < 4:
        return False
    # Even steps of the logarithm against even steps of the value: the more even one names the scale.
    return _unevenness(np.log(ordered)) < _unevenness(ordered)


def _unevenness(ordered: np.ndarray) -> float:
    gaps = np.diff(ordered)
    return float(gaps.std() / gaps.mean())


def scale_y(axes: Axes, values: Sequence[np.ndarray], *, ratio: float = 30.0, held: bool = False) -> None:
    """A log scale where the values ask for one, see :func:`wants_log`; else, if ``held``, limits by :func:`hold`."""
    if wants_log(values, ratio):
        log_y(axes)
    elif held:
        hold(axes, values)


def log_y(axes: Axes) -> None:
    """A log scale that has labels even where it spans less than two decades."""
    axes.set_yscale("log")
    label_log(axes.yaxis, *axes.get_ylim())


def log_x(axes: Axes) -> None:
    """The same for the other axis."""
    axes.set_xscale("log")
    label_log(axes.xaxis, *axes.get_xlim())


def log_x_from_zero(axes: Axes, above: Sequence[float]) -> None:
    """A log scale of the values above 0, and 0 itself a decade below the least."""
    least, most = min(above), max(above)
    axes.set_xscale("symlog", linthresh=least, linscale=1.0)
    exponents = np.arange(np.ceil(np.log10(least) - 1e-9), np.floor(np.log10(most) + 1e-9) + 1)
    ticks = [0.0, *10.0**exponents]
    axes.set_xticks(ticks, ["0", *map(power_of_ten, ticks[1:])])
    axes.xaxis.set_minor_formatter(NullFormatter())


def label_log(axis: Any, low: float, high: float) -> None:
    """Label an axis with a log scale between these limits: powers of ten, or numbers where there are few of those."""
    decades = np.log10(high / low) if low > 0 else 0.0
    if decades < 2:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
        axis.set_major_formatter(lambda value, _: f"{value:g}")
    else:
        axis.set_major_formatter(lambda value, _: power_of_ten(value))
    axis.set_minor_formatter(NullFormatter())


def cap(axes: Axes, values: Iterable[np.ndarray], decades: float = 3.5) -> None:
    """End a log scale so many decades above the least value, and say how far what lies above goes.

    A fit that explodes by ten decades is off in any case; shown whole it would press all that matters into one line.
    """
    finite = _finite(values)
    positive = finite[finite > 0]
    if not positive.size or positive.max() < positive.min() * 10 ** (decades + 1):
        return
    axes.set_ylim(positive.min() / 2, positive.min() * 10**decades)
    label_log(axes.yaxis, *axes.get_ylim())
    _say_how_far(axes, float(positive.max()))


def _say_how_far(axes: Axes, value: float, left: bool = False) -> None:
    """Note the largest value at the end of an axis that does not show it."""
    x, side = (0.06, "left") if left else (0.99, "right")
    note = f"↑ up to {number(value, 3)}"
    axes.text(x, 0.98, note, transform=axes.transAxes, ha=side, va="top", fontsize=8.5, color="#6E6E6E")


def end_above_start(axes: Axes, curves: Iterable[np.ndarray], decades: float = 2.0) -> None:
    """End a log scale so many decades above where the highest curve begins, and say how far one goes that diverges."""
    finite = [each[np.isfinite(each)] for each in curves]
    ceiling = 10**decades * max((float(each[0]) for each in finite if each.size), default=np.inf)
    highest = max((float(each.max()) for each in finite if each.size), default=0.0)
    if highest > ceiling > 0:
        axes.set_ylim(top=ceiling)
        label_log(axes.yaxis, *axes.get_ylim())
        _say_how_far(axes, highest)


def whole_ticks(axes: Axes) -> None:
    """Ticks at whole numbers only, for steps, epochs, degrees."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10, steps=[1, 2, 5, 10]))


def span(values: Iterable[np.ndarray], margin: float = 0.08) -> tuple[float, float] | None:
    """Limits around the finite values; None if there are none."""
    finite = _finite(values)
    if not finite.size:
        return None
    low, high = float(finite.min()), float(finite.max())
    room = margin * (high - low) if high > low else 0.5 * abs(high) or 0.5
    return low - room, high + room


def hold(axes: Axes, values: Iterable[np.ndarray], share: float = 98.0, ratio: float = 4.0) -> None:
    """Limit y so that a few values far away, of a loss before training or in an explosion, do not flatten the rest."""
    finite = _finite(values)
    if finite.size < 50:
        return
    low, high = np.percentile(finite, [100 - share, share])
    if finite.max() - low > ratio * (high - low) > 0:
        axes.set_ylim(top=high + 0.5 * (high - low))
        _say_how_far(axes, float(finite.max()), left=True)
