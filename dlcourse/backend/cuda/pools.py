"""Where memory of the device comes from: for what captured steps use, and for what outlives them."""

import contextlib
from typing import Any

from dlcourse.backend.memory import out_of_memory


def keeping(xp: Any, kept: list[Any]) -> Any:
    """A memory pool that gives nothing back to the device while ``kept`` holds it.

    CuPy's own pool, where an allocation fails, first gives back all blocks that no array lies in. A graph's
    intermediates are such memory since they were captured, yet every launch writes them: into what by then is somebody
    else's. Before it fails, this pool has the common one give back what lies idle there.

    Args:
        kept: every block that the pool is given is added to it; emptied, the pool is like any other.
    Returns:
        A ``cupy.cuda.MemoryPool``.
    """

    def take(size: int) -> Any:
        try:
            block = xp.cuda.Memory(size)
        except xp.cuda.runtime.CUDARuntimeError as error:
            if not out_of_memory(error):
                raise
            xp.get_default_memory_pool().free_all_blocks()
            block = xp.cuda.Memory(size)
        kept.append(block)
        return xp.cuda.MemoryPointer(block, 0)

    return xp.cuda.MemoryPool(take)


def persistent(xp: Any) -> contextlib.AbstractContextManager:
    """``with persistent(xp):`` arrays lie in the common pool, whichever is in force.

    For what is made once and kept, such as a workspace: what a step makes while it runs in the pool of the captured
    ones may lie where the next launch of an earlier recording writes.
    """
    return xp.cuda.using_allocator(xp.get_default_memory_pool().malloc)
