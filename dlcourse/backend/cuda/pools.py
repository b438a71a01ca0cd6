"""Memory pools of the device: one for the arrays of captured steps, the common one for what outlives them."""

import contextlib
from typing import Any

from dlcourse.backend.memory import out_of_memory


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


def persistent(xp: Any) -> contextlib.AbstractContextManager:
    """``with persistent(xp):`` new arrays lie in the common pool, whichever pool is in use.

    For what is made once and stays, such as a workspace: in the pool of captured steps it could lie where the next
    launch of an earlier graph writes.
    """
    return xp.cuda.using_allocator(xp.get_default_memory_pool().malloc)
