"""Memory that a steady-state training step takes again instead of asking the system for it.

Fresh pages cost more than the arithmetic on them: a new 34 MB array took 5.5 ms to fill where an old one took 2.2. By
default glibc gives every array above some size back to the system when it is freed, so each step faults all its pages
in again. :func:`disable_malloc_trim` tells it not to; then the arrays of one step lie where those of the step before
lay. An array that is still in use keeps its memory, as with any allocation.
"""

import ctypes
import functools
import math
import sys
import threading

import numpy as np

from dlcourse.backend.device import Array

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4

KEPT_BYTES = 1 << 30
"""Free memory at the heap's end beyond which it goes back to the system after all."""


@functools.cache
def disable_malloc_trim() -> bool:
    """Have glibc keep freed memory for the next allocation; False where there is no glibc.

    It holds for the whole process, and is done once, when the CPU's kernels are loaded.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    # No allocation by mmap, since that is unmapped when freed; the heap is trimmed only when much of it is free.
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, KEPT_BYTES))


class _Scratch(threading.local):
    def __init__(self) -> None:
        self.buffers: dict[str, np.ndarray] = {}


_scratch = _Scratch()


def scratch(name: str, shape: tuple[int, ...], dtype: np.dtype) -> Array:
    """This thread's buffer of that name, uninitialized; the next call with the name takes it over.

    For what a kernel needs while it runs, never for what it returns.
    """
    dtype = np.dtype(dtype)
    count = math.prod(shape) * dtype.itemsize
    held = _scratch.buffers.get(name)
    if held is None or held.nbytes < count:
        held = _scratch.buffers[name] = np.empty(count, dtype=np.uint8)
    return held[:count].view(dtype).reshape(shape)
