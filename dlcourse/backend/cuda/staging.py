"""Batches of a data set that is larger than the device: filled, copied and computed with at the same time.

Two buffers of page-locked memory, from which the device copies by itself, and two on the device take turns. While a
step computes with one, the next batch is copied into the other on a stream of its own. Events keep the order: no
host memory is filled while it is still being read, no batch is overwritten while a step still computes with it. Only
the loader's thread ever waits.
"""

import math
import weakref

import numpy as np

from dlcourse.backend.device import Array, Backend

BUFFERS = 2


class DoubleBuffer:
    """Brings batches from the host to a device.

    Args:
        device: where to.
        shape: of the largest batch.
        dtype: of its numbers.
    """

    def __init__(self, device: Backend, shape: tuple[int, ...], dtype: np.dtype):
        self.device, self.xp = device, device.xp
        count = math.prod(shape)
        self._filled = 0
        with self.xp.cuda.Device(device.index):
            self._stream = self.xp.cuda.Stream(non_blocking=True)
            self._memory = [self.xp.cuda.alloc_pinned_memory(max(1, count * dtype.itemsize)) for _ in range(BUFFERS)]
            self._arrays = [self.xp.empty(shape, dtype=dtype) for _ in range(BUFFERS)]
            # Of each buffer: when its copy was done, and when what computes with it had been queued.
            self._copied, self._used = ([self.xp.cuda.Event() for _ in range(BUFFERS)] for _ in range(2))
            for event in self._used:
                event.record()
        self._host = [np.frombuffer(memory, dtype, count).reshape(shape) for memory in self._memory]
        # CuPy's pools give memory to the next request, and know nothing of a copy that is still under way on a stream
        # of its own: the loader's thread is one batch ahead when the loader goes.
        weakref.finalize(self, self._stream.synchronize).atexit = False

    def put(self, batch: np.ndarray) -> tuple[int, int]:
        """Fill the next buffer with a batch and start its copy; for a thread that may wait.

        Returns:
            What :meth:`get` takes.
        """
        slot, count = self._filled % BUFFERS, len(batch)
        with self.xp.cuda.Device(self.device.index):
            if self._filled >= BUFFERS:
                self._copied[slot].synchronize()
            self._filled += 1
            host = self._host[slot][:count]
            host[...] = batch
            self._stream.wait_event(self._used[slot])
            self._arrays[slot][:count].set(host, stream=self._stream)
            self._copied[slot].record(self._stream)
        return slot, count

    def get(self, batch: tuple[int, int]) -> Array:
        """The batch on the device, for the current stream, until the batch after the next is put."""
        slot, count = batch
        self.xp.cuda.get_current_stream().wait_event(self._copied[slot])
        return self._arrays[slot][:count]

    def done(self, batch: tuple[int, int]) -> None:
        """Say that everything which reads that batch has been queued on the current stream."""
        self._used[batch[0]].record(self.xp.cuda.get_current_stream())
