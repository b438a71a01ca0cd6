"""The next batch is made in a thread while a training step works on this one."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from dlcourse.backend import Backend
from dlcourse.data.sampler import Sampler
from dlcourse.data.store import Store


class Prefetcher:
    """Makes the batch of the next step in a thread; what goes wrong there is raised where the batch is asked for.

    A step that does not follow the one before costs time only. The thread waits for work between batches and ends with
    the loader, or with the program. Where the system starts no thread, each batch is made where it is asked for.
    """

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = ThreadPoolExecutor(1, thread_name_prefix="dlcourse-loader")
        self._step = -1
        self._coming: Future | None = None

    def get(self, step: int, make: Callable[[int], Any]) -> Any:
        """``make(step)``, which is done already if the step before was asked for last."""
        # ``make`` is not stored: its loader would then be freed by the garbage collector only, and its thread with it.
        coming = self._coming if step == self._step else self._begin(make, step)
        self._step = -1  # so that a batch that could not be made is tried again
        batch = make(step) if coming is None else coming.result()
        # A single thread makes all batches, one after another, so they may share what a loader keeps.
        self._step, self._coming = step + 1, self._begin(make, step + 1)
        return batch

    def _begin(self, make: Callable[[int], Any], step: int) -> Future | None:
        if self._pool is None:
            return None
        try:
            return self._pool.submit(make, step)
        except RuntimeError:  # "can't start new thread"
            self._pool = None  # it still has this batch, and would make it beside another as soon as it gets its thread
            return None


class Stream:
    """The stored samples and the targets of each step for a device that has no room for them all.

    A thread reads the next batch, and it is copied while a step works on this one; see
    :mod:`dlcourse.backend.cuda.staging`.
    """

    def __init__(self, store: Store, sampler: Sampler, backend: Backend):
        self._store, self._sampler, self._prefetcher = store, sampler, Prefetcher()
        self._buffer = backend.double_buffer((sampler.batch_size, *store.x.shape[1:]), store.dtype)
        self._slot: Any = None

    def get(self, step: int) -> tuple[Any, Any]:
        """Those of a step, on the device; the samples stay until the next step but one is asked for."""
        if self._slot is not None:
            self._buffer.done(self._slot)
        self._slot = self._prefetcher.get(step, self._put)
        return self._buffer.get(self._slot), self._store.targets(self._sampler.device_rows(step))

    def _put(self, step: int) -> Any:
        return self._buffer.put(self._store.read(self._sampler.rows(step)))
