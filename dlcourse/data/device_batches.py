"""Batches of a data set that lies on the device, made there from the number of the step alone."""

from typing import Any

import numpy as np

from dlcourse.backend.device import Array
from dlcourse.backend.kernels.device_batch import device_batch
from dlcourse.backend.kernels.images import ImageSettings
from dlcourse.data.sampler import Sampler
from dlcourse.data.store import Store
from dlcourse.data.transform import Transform


class DeviceBatches:
    """The full batches of a loader, for a captured training step: see ``dlcourse/backend/cuda/graph.py``."""

    def __init__(self, sampler: Sampler, store: Store, transform: Transform):
        self._sampler, self._transform = sampler, transform
        rows = slice(None) if sampler.shuffled else slice(0, sampler.samples * sampler.stride, sampler.stride)
        self._samples, self._targets = store.x[rows], store.y[rows]
        self.x_shape, self.x_dtype = (sampler.batch_size, *store.x.shape[1:]), transform.out_dtype
        self.y_shape: tuple[int, ...] = (sampler.batch_size, *store.y.shape[1:])
        self.y_dtype = store.y.dtype
        if transform.mixing is not None:
            self.y_shape, self.y_dtype = (sampler.batch_size, transform.mixing.classes), np.dtype(np.float32)

    @property
    def whole(self) -> tuple[Array, Array] | None:
        """Samples and targets themselves where every batch is all of them, as they lie there."""
        unchanged = self._transform.augment is None and self.x_dtype == self._samples.dtype
        return (self._samples, self._targets) if unchanged and self.x_shape == self._samples.shape else None

    def steps_left(self, step: int) -> int:
        """How many steps, from this one on, have full batches of its epoch."""
        return max(0, self._sampler.full_batches - step % self._sampler.steps_per_epoch)

    def prepare(self, step: int) -> None:
        """Have the order of this step's epoch on the device."""
        self._sampler.device_rows(step)

    def write(self, step: Any, x: Array, y: Array) -> None:
        """The batch of a step into x and y."""
        transform, xp = self._transform, self._transform.backend.xp
        mixes = transform.mixing is not None
        labels = xp.empty((len(x), *self._targets.shape[1:]), self._targets.dtype) if mixes else y
        if transform.jitter is None and transform.erasing is None:
            self._take(self._samples, step, x, labels, transform.key, transform.flips, transform.settings(True))
        else:
            raw = xp.empty(x.shape, transform.wide if transform.of_bytes else self._samples.dtype)
            self._take(self._samples, step, raw, labels)
            flips = None
            if transform.flips is not None:
                flips = xp.empty((len(x), 1), transform.flips.dtype)
                self._take(transform.flips[:, None], step, flips, labels)
                flips = flips[:, 0]
            transform.make(raw, None, step, flips, x)
        if mixes:
            x[...], y[...] = transform.mix(x, labels, step)

    def _take(
        self,
        samples: Array,
        step: Any,
        x: Array,
        y: Array,
        key: Any = None,
        flips: Array | None = None,
        settings: ImageSettings | None = None,
    ) -> None:
        """The rows of a step, as they are where no settings say otherwise."""
        order, steps = self._sampler.device_order, self._sampler.steps_per_epoch
        device_batch(samples, self._targets, order, step, steps, key, flips, settings or ImageSettings(), x, y)
