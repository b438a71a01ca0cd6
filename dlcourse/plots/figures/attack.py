"""A trained classifier under attack, where `dlcourse attack` measured it."""

import numpy as np
from matplotlib.figure import Figure

from dlcourse.plots import layout, style
from dlcourse.plots.mosaic import Mosaic
from dlcourse.plots.plot import Plot, seen
from dlcourse.plots.run_view import RunView
from dlcourse.plots.text import clip, number

LETTERS = 11


def _attacks(view: RunView) -> dict[str, dict[str, np.ndarray]]:
    """The arrays of each attack that was measured, by its name."""
    files = sorted(view.path.glob("attack-*.npz"))
    return {file.stem.removeprefix("attack-"): view.arrays(file.name) for file in files}


class AttackAccuracy(Plot):
    kind, name, order = "run", "attack_accuracy", 70

    def applies(self, view: RunView) -> bool:
        found = _attacks(view).values()
        return any(len(each.get("epsilons", ())) > 1 or len(each.get("distances", ())) for each in found)

    def draw(self, view: RunView) -> tuple[Figure, str]:
        figure, axes = style.subplots()
        control = None
        for index, (name, arrays) in enumerate(_attacks(view).items()):
            color, marker = style.class_look(index)
            clean = float(arrays["clean"])
            if len(arrays["epsilons"]):
                sizes = np.concatenate([[0.0], arrays["epsilons"]])
                axes.plot(sizes, [clean, *arrays["accuracy"]], color=color, marker=marker, ms=5, label=name)
                control = (sizes, [clean, *arrays["control"]]) if control is None else control
            elif len(arrays["distances"]):
                lengths = np.concatenate([[0.0], arrays["distances"]])
                left = clean - np.arange(len(lengths)) / float(arrays["count"])
                axes.plot(lengths, left, color=color, drawstyle="steps-post", label=f"{name} (Euclidean length)")
        if control is not None:
            axes.plot(*control, color=style.GREY, ls="--", label="random, of the same size")
        axes.set(xlabel="size of the perturbation, as a share of black to white", ylabel="accuracy", ylim=(-0.03, 1.03))
        layout.legend(axes)
        layout.headline(figure, f"{view.model}: accuracy under attack")
        return figure, "Each line is an attack; the dashed one moves inputs as far, but at random."


class AttackedImages(Plot):
    kind, name, order = "run", "attacked_images", 71

    def applies(self, view: RunView) -> bool:
        return any(_images(arrays) is not None for arrays in _attacks(view).values())

    def draw(self, view: RunView) -> tuple[Figure, str]:
        name, arrays = next((n, a) for n, a in _attacks(view).items() if _images(a) is not None)
        before, after = seen(_images(arrays))
        change = after.astype(float) - before
        largest = np.abs(change).max() or 1.0
        shown = np.concatenate([before, np.round(127.5 + 127.5 * change / largest).astype(np.uint8), after])
        true = [clip(view.class_name(int(label)), LETTERS) for label in arrays["attack_true"]]
        wrong = [
            f"{clip(view.class_name(int(label)), LETTERS)} ({sure:.2f})"
            for label, sure in zip(arrays["attack_predicted"], arrays["attack_confidence"], strict=True)
        ]
        mosaic = Mosaic(shown, [*true, *[""] * len(true), *wrong], len(true))
        size = f", epsilon {number(float(arrays['epsilons'][-1]), 3)}" if len(arrays["epsilons"]) else ""
        layout.headline(mosaic.figure, f"{view.model} under {name}{size}: right before, wrong after")
        return mosaic.figure, (
            "Above the inputs with their class, below what the attack made of them, with the class that the net takes "
            "them for and its probability; between them the change, stretched: gray where there is none."
        )


def _images(arrays: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray] | None:
    """Inputs before and after as bytes; None where they are no images, or no class changed."""
    before, after = (arrays.get(f"attack_{which}") for which in ("originals", "changed"))
    if before is None or after is None or before.shape != after.shape or before.ndim != 4 or not len(before):
        return None
    if before.shape[3] not in (1, 3):
        return None
    scale = 255 if before.max() <= 1 else 1
    first, second = (np.round(np.clip(each * scale, 0, 255)).astype(np.uint8) for each in (before, after))
    return first, second
