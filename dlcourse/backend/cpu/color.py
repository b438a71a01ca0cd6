"""Color jitter on the CPU: the images of a piece by what is to be done with them, so that none is changed in vain."""

import numpy as np

from dlcourse.backend.cpu import threads
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import color as kernels
from dlcourse.backend.kernels import override

PIECE = 64
"""Images of a piece: of 32 x 32 x 3 they stay in the cache."""


@override(kernels.color_jitter, "cpu")
def color_jitter(images: Array, order: Array, factors: Array, used: tuple[int, ...]) -> Array:
    out = np.array(images)

    def change(part: slice) -> None:
        x, places, by = out[part], order[part], factors[part]
        for place in range(order.shape[1]):
            for which in used:
                at = np.flatnonzero(places[:, place] == which)
                if at.size:
                    x[at] = kernels.changed(x[at], which, by[at, which])

    threads.run(change, threads.slices(len(out), PIECE))
    return out
