"""Batches on the device: which samples a step sees is a function of (seed, step)."""

import copy
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from dlcourse.backend import Backend
from dlcourse.backend.random import generator
from dlcourse.data.dataset import Part
from dlcourse.data.normalizer import Normalizer, normalized

Array = Any
"""``numpy.ndarray`` or ``cupy.ndarray``."""


class Loader:
    """One part of a data set on the device, and its batches.

    Features are normalised once. Pictures in uint8 stay so on the device, a quarter of the memory, and are normalised
    batch by batch. A batch is one ``take`` along the first axis, or a view where the order is the part's own. Class
    labels stay int64; all else has the floating-point type asked for.

    Args:
        part: the samples, raw, on the host.
        normalizer: fitted on the training part.
        backend: the device.
        dtype: floating-point type of x, and of y in a regression.
        batch_size: samples a batch, or ``full``; the last batch of an epoch holds what is left.
        seed: orders the samples, anew in each epoch.
        shuffle: False: the part's own order, as always with one full batch.
    """

    def __init__(
        self,
        part: Part,
        normalizer: Normalizer,
        backend: Backend,
        dtype: Any,
        batch_size: int | Literal["full"],
        seed: int,
        shuffle: bool = True,
    ):
        self.samples = len(part)
        self.batch_size = self.samples if batch_size == "full" else min(batch_size, self.samples)
        self.steps_per_epoch = -(-self.samples // self.batch_size)
        self._backend, self._seed = backend, seed
        self._shuffled = shuffle and self.batch_size < self.samples
        self._epoch, self._order = -1, None
        self._affine = None
        x = part.x
        if x.dtype == np.uint8:
            self._x = backend.asarray(x)
            self._affine = [backend.asarray(array, dtype) for array in (normalizer.shift, normalizer.scale)]
        else:
            self._x = backend.asarray(normalizer.apply(x, dtype))
        self._y = backend.asarray(part.y, dtype if part.y.dtype.kind == "f" else None)

    def in_batches_of(self, batch_size: int) -> "Loader":
        """The same arrays on the device in batches of another size, in the part's own order."""
        other = copy.copy(self)
        other.batch_size = min(batch_size, self.samples)
        other.steps_per_epoch = -(-self.samples // other.batch_size)
        other._shuffled = False
        return other

    def batch(self, step: int) -> tuple[Array, Array]:
        """What training step ``step`` (from 0) sees: x (n, ...) and y (n, K) or (n,), on the device.

        They may be views of the whole part, so they are not to be written to.
        """
        epoch, place = divmod(step, self.steps_per_epoch)
        span = slice(place * self.batch_size, (place + 1) * self.batch_size)
        if not self._shuffled:
            return self._ready(self._x[span]), self._y[span]
        if epoch != self._epoch:
            order = generator(self._seed, "order", epoch).permutation(self.samples)
            self._epoch, self._order = epoch, self._backend.asarray(order)
        chosen = self._order[span]
        return self._ready(self._x.take(chosen, axis=0)), self._y.take(chosen, axis=0)

    def batches(self) -> Iterator[tuple[Array, Array]]:
        """Every sample once, in the part's own order: for evaluation."""
        for start in range(0, self.samples, self.batch_size):
            span = slice(start, start + self.batch_size)
            yield self._ready(self._x[span]), self._y[span]

    def _ready(self, x: Array) -> Array:
        return x if self._affine is None else normalized(x, *self._affine)
