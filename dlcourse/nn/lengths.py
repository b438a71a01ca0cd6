"""Sequences of different lengths in one padded batch."""

from typing import Any

import numpy as np

from dlcourse import backend
from dlcourse.autograd import Tensor
from dlcourse.errors import ShapeError
from dlcourse.ops.recurrent import reorder_steps

__all__: list[str] = []


class Lengths:
    """How many steps each sequence of a padded batch (N, T, D) has, the rest being padding behind them.

    Attributes:
        padding: (N, T, 1), True where a step is padding.
    """

    def __init__(self, layer: str, lengths: Any, x: Tensor):
        here, steps = backend.of(x.data), x.shape[1]
        counts = lengths.data if isinstance(lengths, Tensor) else lengths
        if backend.array_module(counts) is np:  # on a GPU nothing is read back
            counts = np.asarray(counts)
            _check(layer, counts, x)
        ends = Tensor(here.asarray(counts))
        place = Tensor(here.xp.arange(steps)[None])
        padding = place >= ends[:, None]
        self.padding = padding[..., None]
        self._backwards = place.where(padding, ends[:, None] - 1 - place)
        self._last = here.xp.arange(len(x)), ends - 1

    def hide(self, x: Tensor) -> Tensor:
        """x with zeros where it is padding."""
        return x.masked_fill(self.padding, 0.0)

    def reverse(self, x: Tensor) -> Tensor:
        """x with the steps of each sequence in reverse order, the padding where it is."""
        return reorder_steps(x, self._backwards.data)

    def last(self, x: Tensor) -> Tensor:
        """(N, D): the last step of each sequence."""
        return x[self._last]


def _check(layer: str, counts: np.ndarray, x: Tensor) -> None:
    if counts.shape != (len(x),) or counts.dtype.kind not in "iu":
        raise ShapeError(f"{layer}: expected lengths, {len(x)} whole numbers, got {counts.dtype} of {counts.shape}")
    if counts.size and not (counts.min() >= 1 and counts.max() <= x.shape[1]):
        raise ShapeError(
            f"{layer}: lengths are from 1 to the {x.shape[1]} steps of x, got {counts.min()} to {counts.max()}"
        )
