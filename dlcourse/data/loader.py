"""Batches on the device: which samples a step sees, and how they are augmented, is a function of (seed, step)."""

import copy
import functools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal

import numpy as np

from dlcourse.backend import Backend
from dlcourse.backend.kernels.images import WORDS, image_batch
from dlcourse.backend.precision import accumulation_dtype
from dlcourse.backend.random import generator, purpose_hash, words
from dlcourse.config.sections import Augment
from dlcourse.data.dataset import Split
from dlcourse.data.feed import Feed
from dlcourse.data.normalizer import Normalizer

Array = Any
"""``numpy.ndarray`` or ``cupy.ndarray``."""

MIN_PREFETCH_SIZE = 1 << 18
"""Numbers in a batch of images from which making it in the background gains more than the thread costs."""


class Loader:
    """One split of a data set and its batches on the device.

    Features are normalized once and lie on the device; a batch is one ``take``, or a view where the order is that of
    the split. Images in uint8 stay so, a quarter of the memory, and come gathered, normalized and augmented batch by
    batch from one kernel. A set that is larger than what a GPU has room for stays on the host: a thread reads the next
    batch, which is copied while a step works on this one (``backend/cuda/staging.py``). On the CPU images in
    uint8 and memory-mapped files stay where they are, and a batch reads its own rows. Class labels and tokens stay
    int64; all else has the floating-point type asked for, the targets of a regression float32 where that has 16 bits.

    On a CPU with more than one core a thread makes the next large batch while a step works on this one; it guesses that
    steps follow one another, and a wrong guess costs time only.

    Args:
        split: the samples, raw, on the host.
        normalizer: fitted on the training split.
        backend: the device.
        dtype: floating-point type of x, and of y in a regression.
        batch_size: samples a batch, or ``full``; the last batch of an epoch holds what is left.
        seed: orders the samples, anew in each epoch, and draws the augmentation, anew in each step.
        shuffle: False: the split's own order, as always with one full batch.
        augment: what :meth:`batch` does to images; :meth:`batches`, for evaluation, never does.
        drop_last: leave out the last batch of an epoch where it is not full. :meth:`batches` has all samples.
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
    ):
        self.samples = len(split)
        self._backend, self._dtype, self._seed = backend, np.dtype(dtype), seed
        self._normalizer, self._affine = normalizer, (None, None)
        self._augment = augment if augment is not None and augment != Augment() else None
        x = split.x
        self._raw = x.dtype == np.uint8  # and so normalized batch by batch
        if self._raw and not normalizer.identity:
            self._affine = tuple(
                backend.asarray(a, accumulation_dtype(self._dtype)) for a in (normalizer.shift, normalizer.scale)
            )
        # Tokens are looked up, so nothing is to be scaled, nor in bytes, which are normalized batch by batch.
        self._passthrough = self._raw or x.dtype.kind == "i"
        lies_as = x.dtype if self._passthrough else self._dtype
        budget, size = backend.data_budget_bytes(), x.size * lies_as.itemsize
        self._streamed = size > budget if budget else self._raw or split.on_disk
        if self._streamed:
            self._x = x
        else:
            self._x = backend.asarray(np.asarray(x) if self._passthrough else normalizer.apply(x, dtype))
        self._on_host = self._streamed and not budget
        self._storage_dtype = lies_as
        self._y = backend.asarray(split.y, accumulation_dtype(self._dtype) if split.y.dtype.kind == "f" else None)
        self._cut(self.samples if batch_size == "full" else batch_size, shuffle, drop_last)

    def _cut(self, batch_size: int, shuffle: bool, drop_last: bool = False) -> None:
        """Say what a batch is, and how many steps and samples an epoch has."""
        self.batch_size = min(batch_size, self.samples)
        full, rest = divmod(self.samples, self.batch_size)
        self.steps_per_epoch = full + (rest > 0 and not drop_last)
        self.samples_per_epoch = full * self.batch_size if drop_last else self.samples
        self._shuffled = shuffle and self.batch_size < self.samples
        self._orders: dict[int, np.ndarray] = {}
        self._on_device: tuple[int, Array] = (-1, None)
        self._whole: tuple[Array, Array] | None = None
        numbers = self.batch_size * int(np.prod(self._x.shape[1:]))
        worth_it = numbers >= MIN_PREFETCH_SIZE and _cores() > 1 if self._on_host else self._streamed
        self._ahead = _Ahead() if worth_it and self.steps_per_epoch > 1 else None
        self._buffer: Any = None
        self._taken: Any = None

    def in_batches_of(self, batch_size: int) -> "Loader":
        """The same arrays in batches of another size, in the split's own order, not augmented: for evaluation."""
        other = copy.copy(self)
        other.__dict__.pop("feed", None)
        other._augment = None
        other._cut(batch_size, shuffle=False)
        if other.batch_size == self.batch_size and self._augment is None:
            other._whole = self._whole
        return other

    def batch(self, step: int) -> tuple[Array, Array]:
        """What training step ``step`` (from 0) sees: x (n, ...) and y (n, K) or (n,), on the device.

        They may be views of the whole split, so they are not to be written to.
        """
        if self._ahead is None:
            return self._make(step)
        return self._ahead.get(step, self._make) if self._on_host else self._from_buffer(step)

    def _from_buffer(self, step: int) -> tuple[Array, Array]:
        """A batch of a set that is larger than the device: the next one is on its way while it is computed with."""
        if self._buffer is None:
            self._buffer = self._backend.double_buffer((self.batch_size, *self._x.shape[1:]), self._storage_dtype)
        if self._taken is not None:
            self._buffer.done(self._taken)
        self._taken = self._ahead.get(step, self._put)
        rows, chosen = self._rows(step)
        x = self._finished(self._buffer.get(self._taken), None, step)
        return x, self._y[rows] if chosen is None else self._y.take(chosen, axis=0)

    def _put(self, step: int) -> Any:
        span, epoch = self._span(step)
        rows = self._order(epoch)[span] if self._shuffled else span
        return self._buffer.put(self._count(rows), lambda host: np.copyto(host, self._read(rows)))

    def _count(self, rows: slice | np.ndarray) -> int:
        return len(range(self.samples)[rows]) if isinstance(rows, slice) else len(rows)

    def _read(self, rows: slice | np.ndarray) -> np.ndarray:
        """Samples from where they are, as they lie on a device."""
        x = np.asarray(self._x[rows])
        return x if self._passthrough else self._normalizer.apply(x, self._dtype)

    def batches(self) -> Iterator[tuple[Array, Array]]:
        """Every sample once, in the split's own order: for evaluation."""
        for start in range(0, self.samples, self.batch_size):
            yield self._in_order(slice(start, start + self.batch_size))

    def _make(self, step: int) -> tuple[Array, Array]:
        rows, chosen = self._rows(step)
        if chosen is None:
            return self._in_order(rows) if self._augment is None else (self._images(rows, step), self._y[rows])
        return self._images(rows if self._streamed else chosen, step), self._y.take(chosen, axis=0)

    def _rows(self, step: int) -> tuple[slice | np.ndarray, Array | None]:
        """Which samples a step sees: a stretch, or their numbers on the host and on the device."""
        span, epoch = self._span(step)
        if not self._shuffled:
            return span, None
        order = self._order(epoch)
        if epoch != self._on_device[0]:
            self._on_device = epoch, self._backend.asarray(order)
        return order[span], self._on_device[1][span]

    def _span(self, step: int) -> tuple[slice, int]:
        """The places of a step in its epoch's order, and which epoch that is."""
        epoch, place = divmod(step, self.steps_per_epoch)
        return slice(place * self.batch_size, (place + 1) * self.batch_size), epoch

    def _order(self, epoch: int) -> np.ndarray:
        """The order of an epoch, on the host; the loader's thread may be an epoch ahead of the training loop."""
        if epoch not in self._orders:
            self._orders = {k: v for k, v in self._orders.items() if k == epoch - 1} | {epoch: self._permutation(epoch)}
        return self._orders[epoch]

    def _permutation(self, epoch: int) -> np.ndarray:
        return generator(self._seed, "order", epoch).permutation(self.samples)

    @functools.cached_property
    def feed(self) -> Feed | None:
        """What makes the full batches on the device, for a recorded step; None where samples come from the host.

        A loader whose :meth:`batch` gives others overrides it.
        """
        return None if self._streamed else self._feed(self._x, self._y)

    def _feed(self, x: Array, y: Array) -> Feed:
        x_dtype = x.dtype if x.dtype.kind == "i" else self._dtype
        order = self._permutation if self._shuffled else None
        draw = self._seed & (2**64 - 1), purpose_hash("augment")
        sizes = self.samples, self.batch_size, self.steps_per_epoch
        return Feed(self._backend, x, y, self._affine, x_dtype, *sizes, order, self._augment, draw)

    def _in_order(self, span: slice) -> tuple[Array, Array]:
        """A stretch of the split, as it is. One that is all of it is made once: it is the batch of every step."""
        if self._whole is not None:
            return self._whole
        batch = self._images(span, None), self._y[span]
        if self.steps_per_epoch == 1:
            self._whole = batch
        return batch

    def _images(self, chosen: slice | Array, step: int | None) -> Array:
        """The samples of these rows, normalized; augmented as in a step, if given."""
        x, rows = self._x, None
        if self._streamed:
            x = self._backend.asarray(self._read(chosen))
        elif isinstance(chosen, slice):
            x = x[chosen]
        else:
            rows = chosen
        return self._finished(x, rows, step)

    def _finished(self, x: Array, rows: Array | None, step: int | None) -> Array:
        """Samples on the device, of these rows or all, normalized where they are bytes, and augmented."""
        how = self._augment if step is not None else None
        if how is None and not self._raw:
            return x if rows is None else x.take(rows, axis=0)
        count = len(x) if rows is None else len(rows)
        draws = None
        if how is not None:
            draws = words(count * WORDS, self._seed, "augment", step, self._backend).reshape(count, WORDS)
        else:
            how = Augment()
        out = self._backend.xp.empty((count, *x.shape[1:]), self._dtype)
        image_batch(x, rows, *self._affine, draws, how.flip, how.crop, how.cutout, out)
        return out


class _Ahead:
    """Makes the batch of the next step in a thread; what goes wrong there is raised where the batch is asked for.

    The thread waits for work between batches and ends with the loader, or with the program. Where the system starts no
    thread, each batch is made where it is asked for.
    """

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = ThreadPoolExecutor(1, thread_name_prefix="dlcourse-loader")
        self._step, self._coming = -1, None

    def get(self, step: int, make: Callable[[int], tuple[Array, Array]]) -> tuple[Array, Array]:
        """``make(step)``, which is done already if the step before was asked for last."""
        # ``make`` is not kept: its loader would then be freed by the garbage collector only, and its thread with it.
        coming = self._coming if step == self._step else self._begin(make, step)
        self._step = -1  # so that a batch that could not be made is tried again
        batch = make(step) if coming is None else coming.result()
        # A single thread makes all batches, one after another, so they may share what a loader keeps.
        self._step, self._coming = step + 1, self._begin(make, step + 1)
        return batch

    def _begin(self, make: Callable[[int], tuple[Array, Array]], step: int) -> Future | None:
        if self._pool is None:
            return None
        try:
            return self._pool.submit(make, step)
        except RuntimeError:  # "can't start new thread"
            self._pool = None  # it has kept this batch, and would make it beside another as soon as it gets its thread
            return None


def _cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
