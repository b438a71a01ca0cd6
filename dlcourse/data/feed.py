"""Batches of a data set that lies on the device, made there from the number of the step alone."""

from typing import Any

import numpy as np

from dlcourse.backend import Backend
from dlcourse.backend.kernels.feed import feed
from dlcourse.config.sections import Augment

Array = Any
"""``numpy.ndarray`` or ``cupy.ndarray``."""


class Feed:
    """The full batches of a loader, for a recorded training step: see ``dlcourse/backend/capture.py``.

    The order of an epoch is drawn on the host and lies in one place on the device, always the same.

    Args:
        backend: the device.
        samples, targets: of the whole split, on the device.
        affine: shift and scale of the samples, None and None where they are normalized already.
        x_dtype: the type of a batch's samples.
        count, batch_size: samples in the order of an epoch, and in a batch.
        steps_per_epoch: how many batches an epoch has, with the last one if that is not full and not left out.
        order: ``order(epoch)`` gives which samples an epoch has, (count,) on the host; None: all in their own order.
        augment: what happens to images; None for nothing.
        draw: seed and purpose of the augmentation's random words.
    """

    def __init__(
        self,
        backend: Backend,
        samples: Array,
        targets: Array,
        affine: tuple[Array | None, Array | None],
        x_dtype: Any,
        count: int,
        batch_size: int,
        steps_per_epoch: int,
        order: Any,
        augment: Augment | None,
        draw: tuple[int, int],
    ):
        self.x_shape, self.x_dtype = (batch_size, *samples.shape[1:]), np.dtype(x_dtype)
        self.y_shape, self.y_dtype = (batch_size, *targets.shape[1:]), targets.dtype
        self._samples, self._targets, self._affine = samples, targets, affine
        self._full, self._per_epoch = count // batch_size, steps_per_epoch
        self._augment, self._draw = augment or Augment(), None if augment is None else draw
        self._new_order, self._epoch = order, -1
        self._order = None if order is None else backend.xp.empty(count, dtype=np.int64)
        self._backend = backend

    @property
    def whole(self) -> tuple[Array, Array] | None:
        """Samples and targets themselves where every batch is all of them, as they lie there."""
        as_they_are = self._new_order is None and self._draw is None and self._affine[0] is None
        if as_they_are and (self.x_shape, self.x_dtype) == (self._samples.shape, self._samples.dtype):
            return self._samples, self._targets
        return None

    def steps_left(self, step: int) -> int:
        """How many steps, from this one on, have full batches of its epoch."""
        return max(0, self._full - step % self._per_epoch)

    def prepare(self, step: int) -> None:
        """Have the order of this step's epoch on the device."""
        epoch = step // self._per_epoch
        if self._order is not None and epoch != self._epoch:
            self._order[...] = self._backend.asarray(self._new_order(epoch))
            self._epoch = epoch

    def write(self, step: Any, x: Array, y: Array) -> None:
        """The batch of a step into x and y."""
        how = self._augment
        settings = *self._affine, self._draw, how.flip, how.crop, how.cutout
        feed(self._samples, self._targets, self._order, step, self._per_epoch, *settings, x, y)
