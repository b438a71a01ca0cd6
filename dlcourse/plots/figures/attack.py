"""A trained classifier under attack, as a config's ``attacks`` or `dlcourse attack` measured it."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dlcourse.plots import layout, style
from dlcourse.plots.mosaic import Mosaic
from dlcourse.plots.plot import Plot, seen
from dlcourse.plots.run_view import RunView
from dlcourse.plots.sweep_view import SweepView
from dlcourse.plots.text import clip, number
from dlcourse.shades import black_and_white

LETTERS = 11
_PICTURED = 4  # attacks, of two rows each
_IMAGES = 8
_PANELS = 6

Measured = Mapping[str, np.ndarray]
"""The arrays of an attack's file."""

_NORMS = {"linf": "size of the perturbation (maximum norm)", "l2": "length of the perturbation (Euclidean norm)"}
_LAST = 1000


def _attacks(view: RunView) -> dict[str, Measured]:
    """The arrays of each attack that was measured, by its label; in the order of the config."""
    files = sorted(view.path.glob("attack-*.npz"))
    found = {file.stem.removeprefix("attack-"): view.arrays(file.name) for file in files}
    whole = {name: each for name, each in found.items() if {"epsilons", "accuracy", "distances"} <= each.keys()}
    named = [(str(each.get("label", name)), each) for name, each in whole.items()]
    return dict(sorted(named, key=lambda item: int(item[1].get("place", _LAST))))


def _norm(arrays: Measured) -> str:
    return "l2" if len(arrays["distances"]) else str(arrays.get("norm", "linf"))


def _inputs(arrays: Measured) -> str:
    """Which inputs were attacked, such as ``100 of test``."""
    return f"{int(arrays['count']):,} of {arrays.get('split', 'test')}"


def _has_curve(arrays: Measured) -> bool:
    return len(arrays["epsilons"]) > 1 or len(arrays["distances"]) > 0


def _draw(axes: Axes, arrays: Measured, label: str, index: int) -> None:
    """The accuracy against the size; of the smallest perturbations, against the length that is allowed."""
    clean, (color, marker) = float(arrays["clean"]), style.class_look(index)
    if len(arrays["distances"]):
        lengths = np.append(0.0, arrays["distances"])
        left = clean - np.arange(len(lengths)) / float(arrays["count"])
        axes.plot(lengths, left, drawstyle="steps-post", color=color, label=label)
        return
    sizes, accuracy = np.append(0.0, arrays["epsilons"]), np.append(clean, arrays["accuracy"])
    axes.plot(sizes, accuracy, marker=marker, ms=5, color=color, label=label)


def _mean(arrays: Measured) -> str:
    """The mean of the smallest perturbations, for a legend."""
    return f": mean {number(float(arrays['distances'].mean()), 3)}" if len(arrays["distances"]) else ""


def _draw_control(axes: Axes, found: list[Measured], differ: bool) -> None:
    sized = [each for each in found if len(each["epsilons"]) > 1]
    if not sized:
        return
    arrays = max(sized, key=lambda each: float(each["epsilons"].max()))
    sizes, control = np.append(0.0, arrays["epsilons"]), np.append(float(arrays["clean"]), arrays["control"])
    label = f"random, of the same size, {_inputs(arrays)}" if differ else "random, of the same size"
    axes.plot(sizes, control, color=style.GREY, ls="--", label=label)


class AttackAccuracy(Plot):
    """The accuracy under each attack against the size of the perturbation, one panel for each norm."""

    kind, name, order = "run", "attack_accuracy", 70

    def applies(self, view: RunView) -> bool:
        return any(_has_curve(each) for each in _attacks(view).values())

    def draw(self, view: RunView) -> tuple[Figure, str]:
        found = {label: each for label, each in _attacks(view).items() if _has_curve(each)}
        panels = [norm for norm in _NORMS if norm in {_norm(each) for each in found.values()}]
        figure = style.canvas(style.WIDE if len(panels) > 1 else style.WIDTH, style.HEIGHT)
        cells = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
        differ = len({_inputs(each) for each in found.values()}) > 1
        for axes, norm in zip(cells, panels, strict=True):
            for index, (label, arrays) in enumerate(found.items()):
                if _norm(arrays) == norm:
                    of_which = f", {_inputs(arrays)}" if differ else ""
                    _draw(axes, arrays, clip(label, 40 - len(of_which)) + of_which + _mean(arrays), index)
            _draw_control(axes, [each for each in found.values() if _norm(each) == norm], differ)
            axes.set(xlabel=_NORMS[norm], ylim=(-0.03, 1.03))
        cells[0].set_ylabel("accuracy")
        layout.legend(cells[0]) if len(cells) == 1 else layout.shared_legend(figure, cells, columns=3)
        layout.headline(figure, f"{view.model}: accuracy under attack")
        each_on = " on the inputs that it names: their accuracies do not compare" if differ else ""
        return figure, (
            f"Each line is an attack{each_on}, black to white being 1; the dashed one moves inputs as far, but "
            "at random. A line with steps is of the smallest perturbations that change the class."
        )


class Robustness(Plot):
    """What each run of a sweep keeps under each attack; one panel for each attack."""

    kind, name, order = "sweep", "robustness", 118

    def applies(self, view: SweepView) -> bool:
        return len(view.settings) > 1 and bool(self._shared(view))

    def _shared(self, view: SweepView) -> list[str]:
        """Attacks with a curve in more than one run."""
        labels = [label for run in view.first_runs() for label, each in _attacks(run).items() if _has_curve(each)]
        return [label for label in dict.fromkeys(labels) if labels.count(label) > 1][:_PANELS]

    def draw(self, view: SweepView) -> tuple[Figure, str]:
        labels = self._shared(view)
        runs = list(zip(view.settings, map(_attacks, view.first_runs()), strict=True))
        figure, cells = layout.panels(len(labels), height=3.1 if len(labels) > 1 else 3.6, sharey=True)
        for axes, label in zip(cells, labels, strict=True):
            measured = [(index, setting, found[label]) for index, (setting, found) in enumerate(runs) if label in found]
            for index, setting, arrays in measured:
                _draw(axes, arrays, clip(view.telling(setting), 32), index)
            layout.panel_title(axes, clip(label, 40))
            axes.set(xlabel=_NORMS[_norm(measured[0][2])], ylim=(-0.03, 1.03))
        for axes in cells[:: 3 if len(cells) > 4 or len(cells) == 3 else 2]:
            axes.set_ylabel("accuracy")
        layout.legend(cells[0]) if len(cells) == 1 else layout.shared_legend(figure, cells, columns=4)
        layout.headline(figure, "Accuracy under attack")
        return figure, "Each line is a run; sizes are shares of the way from black to white."


class AttackedImages(Plot):
    """The same inputs before and after several attacks, and the changes."""

    kind, name, order = "run", "attacked_images", 71

    def applies(self, view: RunView) -> bool:
        return any(_images(arrays) is not None for arrays in _attacks(view).values())

    def draw(self, view: RunView) -> tuple[Figure, str]:
        found = {label: each for label, each in _attacks(view).items() if _images(each) is not None}
        shown = list(found.items())[:_PICTURED]
        images: list[np.ndarray] = []
        labels: list[str] = []
        rows: list[str] = []
        above: np.ndarray | None = None
        for label, arrays in shown:
            before, after = seen(_images(arrays))
            if above is None or not np.array_equal(before, above):  # other inputs than those of the attack before
                above = before
                images.append(before)
                labels += self._names(view, arrays["attack_true"])
                rows.append("inputs")
            change = after.astype(float) - before
            largest = np.abs(change).max() or 1.0
            images += [np.round(127.5 + 127.5 * change / largest).astype(np.uint8), after]
            names = self._names(view, arrays["attack_predicted"])
            sure = [
                f"{name} {each:.2f}" for name, each in zip(names, arrays["attack_confidence"][:_IMAGES], strict=True)
            ]
            labels += [""] * len(change) + sure
            rows += [f"change x {number(255 / 2 / largest, 2)}", _row_name(label, arrays)]
        columns = min(len(each) for each in images)
        mosaic = Mosaic(
            np.concatenate([each[:columns] for each in images]),
            [label for row in _split(labels, images) for label in row[:columns]],
            columns,
            rows=rows,
        )
        layout.headline(mosaic.figure, f"{view.model} under attack")
        return mosaic.figure, (
            "Above inputs that the net gets right, with their class; for each attack the change, stretched, gray where "
            "there is none, and the result with the class that the net takes it for and its probability."
        )

    def _names(self, view: RunView, labels: np.ndarray) -> list[str]:
        return [clip(view.class_name(int(label)), LETTERS) for label in labels[:_IMAGES]]


def _split(labels: list[str], rows: list[np.ndarray]) -> list[list[str]]:
    """Labels one after another as those of each row."""
    ends = np.cumsum([len(each) for each in rows])
    return [labels[end - len(each) : end] for end, each in zip(ends, rows, strict=True)]


def _row_name(label: str, arrays: Measured) -> str:
    name, _, settings = label.removesuffix(")").partition("(")
    lines = [name, *settings.split(", ")] if settings else [name]
    if len(arrays["epsilons"]) and "epsilon=" not in settings:
        lines += [f"epsilon {number(float(arrays['epsilons'][-1]), 3)}"]
    return "\n".join(clip(line, 24) for line in lines)


def _images(arrays: Measured) -> tuple[np.ndarray, np.ndarray] | None:
    """Inputs before and after as bytes; None where they are no images, or there are none."""
    before, after = (arrays.get(f"attack_{which}") for which in ("originals", "changed"))
    if before is None or after is None or before.shape != after.shape or before.ndim != 4 or not len(before):
        return None
    if before.shape[3] not in (1, 3):
        return None
    black, white = black_and_white(before.min(), before.max())
    scale = 255 / (white - black)
    shown = [np.round(np.clip((each[:_IMAGES] - black) * scale, 0, 255)).astype(np.uint8) for each in (before, after)]
    return shown[0], shown[1]
