"""Images of the first training step, as they are and as the step sees them."""

import numpy as np
from matplotlib.figure import Figure

from dlcourse.plots import layout
from dlcourse.plots.mosaic import Mosaic
from dlcourse.plots.plot import Plot, seen
from dlcourse.plots.run_view import RunView

COLUMNS = 8


class Augmented(Plot):
    kind, name, order = "run", "augmented", 66

    def applies(self, view: RunView) -> bool:
        before, after = view.images("augmented_from"), view.images("augmented")
        shares = view.predictions.get("augmented_shares")
        return (before is not None and after is not None and before.ndim == 4 and before.shape == after.shape) and (
            shares is None or (shares.ndim == 2 and len(shares) == len(after))
        )

    def draw(self, view: RunView) -> tuple[Figure, str]:
        before, after = seen(view.images("augmented_from")), seen(view.images("augmented"))
        shares = view.predictions.get("augmented_shares")
        images: list[np.ndarray] = []
        labels: list[str] = []
        for start in range(0, len(after), COLUMNS):
            part = slice(start, start + COLUMNS)
            images += [*before[part], *after[part]]
            labels += [""] * len(before[part])
            labels += [""] * len(after[part]) if shares is None else [_classes(view, each) for each in shares[part]]
        mosaic = Mosaic(np.stack(images), labels, min(COLUMNS, len(after)))
        layout.headline(mosaic.figure, "Augmented images of the first training step")
        return mosaic.figure, "In turn a row of images as the data have them, and below it how the step sees them."


def _classes(view: RunView, shares: np.ndarray) -> str:
    """The target's classes, each with its share where there are several."""
    some = np.flatnonzero(shares > 0)
    some = some[np.argsort(-shares[some], kind="stable")][:2]
    names = [view.class_name(int(index)) for index in some]
    if len(names) == 1:
        return names[0]
    return "\n".join(f"{name} {share:.2f}" for name, share in zip(names, shares[some], strict=True))
