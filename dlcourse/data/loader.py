"""Batches on the device: which samples a step sees, and how they are augmented, is a function of (seed, step)."""

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, Literal

import numpy as np

from dlcourse.backend import Backend
from dlcourse.backend.device import Array
from dlcourse.config.data_sections import Augment
from dlcourse.data.dataset import Split
from dlcourse.data.device_batches import DeviceBatches
from dlcourse.data.normalizer import Normalizer, TargetNormalizer
from dlcourse.data.prefetch import Prefetcher, Stream
from dlcourse.data.sampler import Sampler
from dlcourse.data.store import Store
from dlcourse.data.transform import Transform
from dlcourse.resources import cores

MIN_PREFETCH_SIZE = 1 << 18
"""Numbers in a batch of images from which making it in the background gains more than the thread costs."""


class Loader:
    """The batches of one split.

    A :class:`Sampler` says which samples are in a batch, a :class:`Store` has them, and a :class:`Transform` normalizes
    and augments them. Large batches of samples that are not on the device are made in a thread, one step ahead.

    Args:
        split: the samples, raw, on the host.
        normalizer: fitted on the training split.
        backend: the device.
        dtype: floating-point type of x, and of y in a regression (there float32 where it has 16 bits).
        batch_size: samples a batch, or ``full``; the last batch of an epoch holds what is left.
        seed: orders the samples, anew in each epoch, and draws the augmentation, anew in each step.
        shuffle: False: the split's own order, as always with one full batch.
        augment: what :meth:`batch` does to images; :meth:`batches`, for evaluation, never does.
        drop_last: leave out the last batch of an epoch where it is not full. :meth:`batches` has all samples.
        targets: scales the targets y of a regression, for a model that learns scaled ones.
        classes: how many there are, where images are mixed; by default as many as the labels name.
        streams: each batch goes on where the one before ended, in :meth:`batches` too, see :class:`Sampler`.

    Attributes:
        streams: as given.
        targets: as given; what puts a model's outputs back into the targets' own units.
        device_batches: what makes the full batches on the device, for a captured step; None where samples come from
            the host.
    Example:
        >>> from dlcourse import backend
        >>> from dlcourse.config import data_section
        >>> prepared = data.prepare(data_section("spirals"), seed=0)
        >>> train, cpu = prepared.splits["train"], backend.get("cpu")
        >>> settings = {"dtype": np.dtype("float32"), "batch_size": 32, "seed": 0, "shuffle": True}
        >>> loader = data.Loader(train, prepared.normalizer, cpu, **settings)
        >>> x, labels = loader.batch(0)
        >>> x.shape, labels.shape
        ((32, 2), (32,))
    """

    def __init__(
        self,
        split: Split,
        normalizer: Normalizer,
        backend: Backend,
        dtype: Any,
        batch_size: int | Literal["full"],
        seed: int,
        shuffle: bool = True,
        augment: Augment | None = None,
        drop_last: bool = False,
        targets: TargetNormalizer | None = None,
        classes: int | None = None,
        streams: bool = False,
    ):
        augment = None if augment == Augment() else augment
        self._length = len(split)
        order = seed, shuffle, drop_last, split.stride, split.offsets, streams
        sampler = Sampler(len(split), batch_size, backend, *order)
        mixes = augment is not None and bool(augment.mixup or augment.cutmix)
        known = (classes or int(split.y.max()) + 1) if mixes else 0
        settings = seed, augment, sampler, split.x.shape[1:3], known
        transform = Transform(normalizer, backend, split.x.dtype, np.dtype(dtype), *settings)
        self.targets = targets
        self._compose(Store(split, transform, backend, targets), sampler, transform)

    def _compose(self, store: Store, sampler: Sampler, transform: Transform) -> None:
        self._store, self._sampler, self._transform = store, sampler, transform
        self.streams = sampler.streams
        self.samples, self.batch_size = sampler.samples, sampler.batch_size
        self.steps_per_epoch, self.samples_per_epoch = sampler.steps_per_epoch, sampler.samples_per_epoch
        self._rows: Callable[[int], Any] = sampler.device_rows if store.resident else sampler.rows
        self._whole: tuple[Array, Array] | None = None
        self.device_batches = DeviceBatches(sampler, store, transform) if store.resident else None
        several = self.batch_size < self.samples
        self._streams = store.streamed and several
        large = self.batch_size * np.prod(store.x.shape[1:]) >= MIN_PREFETCH_SIZE and cores() > 1
        in_thread = large and several and not (store.resident or store.streamed)
        self._prefetcher = Prefetcher() if in_thread else None

    def in_batches_of(self, batch_size: int) -> "Loader":
        """The same arrays in batches of another size, in the split's own order, not augmented: for evaluation."""
        other = Loader.__new__(Loader)
        other.targets, other._length = self.targets, self._length
        stride, streams = self._sampler.stride, self.streams
        sampler = Sampler(self._length, batch_size, self._transform.backend, stride=stride, streams=streams)
        other._compose(self._store, sampler, self._transform.for_evaluation())
        other._whole = self._whole if batch_size >= self.samples and not self.streams else None
        return other

    def numbers(self, step: int) -> np.ndarray:
        """Which samples of the split training step ``step`` sees."""
        rows = self._sampler.rows(step)
        return np.arange(self.samples)[rows] if isinstance(rows, slice) else rows

    def batch(self, step: int) -> tuple[Array, Array]:
        """What training step ``step`` (from 0) sees: x (n, ...) and y (n, K) or (n,), on the device.

        They may be views of the whole split, so they are not to be written to.
        """
        if self._store.resident:
            return self._make(step)
        if self._streams:
            x, y = self._stream.get(step)
            x = self._transform(x, None, step, self._sampler.device_rows(step))
            return self._transform.mix(x, y, step)
        return self._make(step) if self._prefetcher is None else self._prefetcher.get(step, self._make)

    def batches(self) -> Iterator[tuple[Array, Array]]:
        """Every sample once, in the split's own order, or that of its streams: for evaluation."""
        for step in range(-(-self.samples // self.batch_size)):
            if self.streams:
                yield self._take(self._rows(step), None)
            else:
                yield self._in_order(self._sampler.in_order(step * self.batch_size))

    @property
    def in_order(self) -> np.ndarray | None:
        """The samples in the order of :meth:`batches`, where that is not the split's own."""
        return self._sampler.order(0) // self._sampler.stride if self.streams else None

    @cached_property
    def _stream(self) -> Stream:
        return Stream(self._store, self._sampler, self._transform.backend)

    def _make(self, step: int) -> tuple[Array, Array]:
        if self._sampler.shuffled or self._transform.augment is not None:
            return self._take(self._rows(step), step)
        return self._whole or self._in_order(self._rows(step))

    def _in_order(self, rows: slice) -> tuple[Array, Array]:
        """A stretch of the split, not augmented; one that is all of it is made once."""
        batch = self._whole or self._take(rows, None)
        if self.batch_size == self.samples:
            self._whole = batch
        return batch

    def _take(self, rows: slice | Array, step: int | None) -> tuple[Array, Array]:
        by_kernel = self._transform.by_kernel
        x, chosen, y = self._store.fetch(rows, not by_kernel)
        x = self._transform(x, chosen, step, rows) if by_kernel else x
        return (x, y) if step is None else self._transform.mix(x, y, step)
