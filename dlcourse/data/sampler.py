"""Which samples each step of training sees: a function of (seed, step), the same on every device."""

from typing import Any, Literal

import numpy as np

from dlcourse.backend import Backend
from dlcourse.backend.random import generator


class Sampler:
    """The rows of each batch.

    A sample is a row of the store, or every ``stride``-th row: the windows of a text are all rows, and an epoch has
    those that lie side by side from a random offset on.

    Args:
        samples: how many an epoch has.
        batch_size: samples a batch, or ``full``; the last batch of an epoch has what is left.
        backend: the device.
        seed: orders the samples, anew in each epoch.
        shuffle: False: the samples' own order, as always with one full batch.
        drop_last: leave out the last batch of an epoch where it is not full.
        stride: rows from one sample to the next.
        offsets: how many first rows an epoch may begin at, where it is shuffled.
        streams: a batch has the samples that follow those of the batch before, for which the samples are cut into
            ``batch_size`` stretches. With ``shuffle`` an epoch leaves out what makes no full batch; without, the last
            batch lacks the streams that are a sample shorter.

    Attributes:
        device_order: the rows of the epoch that :meth:`device_rows` was last asked for; None: in their own order.
    """

    def __init__(
        self,
        samples: int,
        batch_size: int | Literal["full"],
        backend: Backend,
        seed: int = 0,
        shuffle: bool = False,
        drop_last: bool = False,
        stride: int = 1,
        offsets: int = 1,
        streams: bool = False,
    ):
        self.batch_size = samples if batch_size == "full" else min(batch_size, samples)
        samples -= samples % self.batch_size if streams and shuffle else 0
        self.samples, self.stride, self.streams = samples, stride, streams
        self.full_batches, rest = divmod(samples, self.batch_size)
        self.steps_per_epoch = self.full_batches + (rest > 0 and not drop_last)
        self.samples_per_epoch = self.full_batches * self.batch_size if drop_last else samples
        self.shuffled = (shuffle and self.batch_size < samples) or streams
        self._seed, self._offsets, self._backend = seed, offsets if shuffle else 1, backend
        self._orders: dict[int, np.ndarray] = {}
        self._epoch, self.device_order = -1, backend.xp.empty(samples, dtype=np.int64) if self.shuffled else None

    def order(self, epoch: int) -> np.ndarray:
        """The rows of an epoch that is shuffled, or in streams, (N,); the loader's thread may be an epoch ahead of the
        training loop."""
        if epoch not in self._orders:
            if self.streams:
                samples = stream_order(self.samples, self.batch_size)
            else:
                samples = generator(self._seed, "order", epoch).permutation(self.samples)
            rows = samples * self.stride
            if self._offsets > 1:
                rows += generator(self._seed, "offset", epoch).integers(self._offsets)
            self._orders = {k: v for k, v in self._orders.items() if k == epoch - 1} | {epoch: rows}
        return self._orders[epoch]

    def rows(self, step: int) -> slice | np.ndarray:
        """The rows of a step, on the host."""
        epoch, batch = divmod(step, self.steps_per_epoch)
        first = batch * self.batch_size
        return self.order(epoch)[first : first + self.batch_size] if self.shuffled else self.in_order(first)

    def in_order(self, first: int) -> slice:
        """The rows of the batch that begins at this sample, counted in their own order."""
        stop = min(first + self.batch_size, self.samples)
        return slice(first * self.stride, stop * self.stride, self.stride)

    def device_rows(self, step: int) -> Any:
        """The rows of a step: a slice, or an array on the device, to be written over in another epoch.

        The order of an epoch is copied once, always to the same place, as captured steps need it.
        """
        if self.device_order is None:
            return self.rows(step)
        epoch, batch = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self.device_order[...] = self._backend.asarray(self.order(epoch))
            self._epoch = epoch
        first = batch * self.batch_size
        return self.device_order[first : first + self.batch_size]


def stream_order(samples: int, streams: int) -> np.ndarray:
    """The samples (N,) batch by batch: the first of each stream, then the second of each, ...; a stream is a stretch of
    them, and the first streams are one longer where they cannot be equally long."""
    lengths = np.full(streams, samples // streams)
    lengths[: samples % streams] += 1
    starts = lengths.cumsum() - lengths
    return np.concatenate([starts[lengths > step] + step for step in range(lengths[0])])
