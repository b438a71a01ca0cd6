"""Memory and streams of the device: the common pool, for what stays, and those of measurements and captured steps."""

import contextlib
import gc
from collections.abc import Iterator, MutableMapping
from typing import Any

from dlcourse.backend.memory import out_of_memory


class SideStream:
    """A stream and a memory pool beside the common ones, for a measurement or for captured steps.

    CuPy frees no idle block of a pool that is dropped, and a library's handle, or a counter, may name a stream that is
    destroyed. Call :meth:`close` when done with it: the blocks go back to the device, the stream to the next.

    Args:
        xp: CuPy; its current device is the one.
        keeps: the pool gives no block back to the device before :meth:`close`, see :func:`graph_pool`.
    Attributes:
        stream, pool: as CuPy has them.
        blocks: what such a pool keeps.
    """

    def __init__(self, xp: Any, keeps: bool = False):
        self.xp, self.device = xp, xp.cuda.Device().id
        idle = _streams.setdefault(self.device, [])
        self.stream = idle.pop() if idle else xp.cuda.Stream(non_blocking=True)
        self.blocks: list[Any] = []
        self.pool = graph_pool(xp, self.blocks) if keeps else xp.cuda.MemoryPool()

    def allocating(self) -> contextlib.AbstractContextManager:
        """``with side.allocating():`` new arrays lie in this pool."""
        return self.xp.cuda.using_allocator(self.pool.malloc)

    def close(self, holding: MutableMapping | None = None) -> None:
        """Give all back once the device is done with it.

        Args:
            holding: emptied first: graphs and arrays that use it.
        """
        _closing.append((self, {} if holding is None else holding))
        release_closed()


_streams: dict[int, list[Any]] = {}
"""By device, streams that nothing uses. None is ever destroyed."""
_closing: list[tuple[SideStream, MutableMapping]] = []
"""Closed, and not yet given back: a step was being captured, or an array lives that lies there."""


def release_closed() -> None:
    """Give back all that lies idle in closed pools; nothing while a step is captured, which permits no waiting."""
    entries = _closing.copy()
    _closing.clear()
    for side, holding in entries:
        cuda = side.xp.cuda
        if cuda.get_current_stream().is_capturing():
            _closing.append((side, holding))
            continue
        try:
            with cuda.Device(side.device):
                cuda.Device(side.device).synchronize()
                holding.clear()
                side.blocks.clear()
                side.pool.free_all_blocks()
                left = side.pool.total_bytes()
        except cuda.runtime.CUDARuntimeError:  # the device is broken: the next computation on it raises
            continue
        if side.stream is not None:
            _streams[side.device].append(side.stream)
            side.stream = None
        if left:
            _closing.append((side, holding))


@contextlib.contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Inside the ``with`` block no garbage is collected: what goes with it may ask the device for what a stream that is
    capturing does not permit."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def graph_pool(xp: Any, blocks: list[Any]) -> Any:
    """A memory pool that gives no block back to the device while ``blocks`` holds it.

    A captured graph writes its intermediates at each launch, although no array lies in them any more. CuPy's own pool
    gives such blocks back to the device where an allocation fails; another array would get them, and the next launch
    would write over it. This pool keeps them. Before it fails, it has the common pool give back its free blocks.

    Args:
        blocks: the pool adds each of its blocks to it; emptied, the pool is like any other.
    Returns:
        A ``cupy.cuda.MemoryPool``.
    """

    def allocate(size: int) -> Any:
        try:
            block = xp.cuda.Memory(size)
        except xp.cuda.runtime.CUDARuntimeError as error:
            if not out_of_memory(error):
                raise
            xp.get_default_memory_pool().free_all_blocks()
            block = xp.cuda.Memory(size)
        blocks.append(block)
        return xp.cuda.MemoryPointer(block, 0)

    return xp.cuda.MemoryPool(allocate)
