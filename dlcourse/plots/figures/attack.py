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
        found = _attacks(view)
        sized = {name: arrays for name, arrays in found.items() if len(arrays["epsilons"])}
        smallest = {name: arrays for name, arrays in found.items() if len(arrays["distances"])}
        panels = [each for each in (sized, smallest) if each]
        figure = style.canvas(style.WIDE if len(panels) > 1 else style.WIDTH, style.HEIGHT)
        axes = dict(zip(map(id, panels), figure.subplots(1, len(panels), squeeze=False, sharey=True)[0], strict=True))
        for index, (name, arrays) in enumerate(found.items()):
            look, clean = {"color": style.class_look(index)[0], "label": name}, float(arrays["clean"])
            if name in sized:
                sizes, accuracy = np.append(0.0, arrays["epsilons"]), np.append(clean, arrays["accuracy"])
                axes[id(sized)].plot(sizes, accuracy, marker=style.class_look(index)[1], ms=5, **look)
            elif name in smallest:
                lengths = np.append(0.0, arrays["distances"])
                left = clean - np.arange(len(lengths)) / float(arrays["count"])
                axes[id(smallest)].plot(lengths, left, drawstyle="steps-post", **look)
        if sized:
            _, arrays = max(sized.items(), key=lambda item: len(item[1]["epsilons"]))
            sizes, control = np.append(0.0, arrays["epsilons"]), np.append(float(arrays["clean"]), arrays["control"])
            axes[id(sized)].plot(sizes, control, color=style.GREY, ls="--", label="random, of the same size")
        words = {id(sized): "size of the perturbation", id(smallest): "length of the smallest perturbation"}
        for key, each in axes.items():
            each.set(xlabel=f"{words[key]}, black to white being 1", ylim=(-0.03, 1.03))
            layout.legend(each)
        next(iter(axes.values())).set_ylabel("accuracy")
        layout.headline(figure, f"{view.model}: accuracy under attack")
        return figure, "Each line is an attack; a dashed one moves inputs as far, but at random."


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
