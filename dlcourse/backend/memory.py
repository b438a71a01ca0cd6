"""The memory that a run needed, what is left of it, and errors where it ran out."""

import contextlib
import gc
import os
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np

from dlcourse.backend import device
from dlcourse.errors import ArgumentError
from dlcourse.text import format_bytes

LINE = 64
"""Bytes of a cache line, and of the longest vectors."""

_pools: "weakref.WeakKeyDictionary[Any, Any]" = weakref.WeakKeyDictionary()


def aligned_zeros(count: int, dtype: Any, xp: Any) -> Any:
    """``count`` zeros of ``xp``, the first at a multiple of 64 bytes.

    Vectors of 64 bytes then lie in one cache line each: a step of softmax regression takes 3 to 9 % longer where the
    weights begin elsewhere, as NumPy's do by chance. CuPy's begin at multiples of 512.
    """
    if xp is not np:
        return xp.zeros(count, dtype)
    size = count * np.dtype(dtype).itemsize
    memory = np.zeros(size + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    return memory[start : start + size].view(dtype)


def count_pool(owner: Any, pool: Any) -> None:
    """Count a private pool of a device's memory among the peaks for as long as its owner lives."""
    _pools[owner] = pool


def start_counting() -> None:
    """Give back what a device's pools hold for later, so that :func:`peaks` tells of what follows."""
    here = device.current()
    if here.kind != "cpu":
        gc.collect()  # an earlier run's graphs and their pools may be waiting for it, in cycles of what refers to what
        here.free_idle_memory()


def peaks() -> dict[str, int]:
    """The most bytes held at once: ``host``, resident memory of this process since it began; ``device`` where one
    computes, what its pools took of its memory since :func:`start_counting`.

    A pool keeps what it was given, so what it has in the end is the most that it had; libraries' own memory, a captured
    graph's among it, comes on top. ``host`` is left out where the system does not tell.
    """
    found = {} if (host := _host_peak()) is None else {"host": host}
    here = device.current()
    if here.kind != "cpu":
        pools = [here.xp.get_default_memory_pool(), *_pools.values()]
        found["device"] = sum(pool.total_bytes() for pool in pools)
    return found


def format_peaks(peaks: dict[str, int]) -> str:
    """``peak memory: device 1.25 GiB, host 310 MiB``."""
    sizes = [f"{name} {format_bytes(peaks[name])}" for name in ("device", "host") if name in peaks]
    return f"peak memory: {', '.join(sizes) or 'not known'}"


OUT_OF_MEMORY = {"CUDARuntimeError": 2, "CUDADriverError": 2, "BlasError": 3}
"""The status by which each of these says so; CuPy's own pool raises a MemoryError."""


def out_of_memory(error: BaseException) -> bool:
    """Whether an error, on whichever device, says that memory ran out."""
    status = OUT_OF_MEMORY.get(type(error).__name__)
    return isinstance(error, MemoryError) or (status is not None and getattr(error, "status", None) == status)


def available() -> int | None:
    """Bytes of the host's memory that this process could still get; None where the system does not tell.

    The least of what the machine has left, what the process's control group may take, and its limit on addresses.
    """
    return min([each for each in (_machine_left(), _group_left(), _addresses_left()) if each is not None], default=None)


def require(count: int, what: str, on_device: bool = False) -> None:
    """Refuse what cannot fit before it is allocated: a system that is asked for too much may kill the process instead.

    Args:
        count: bytes.
        what: takes them, for the message.
        on_device: where the current device computes, instead of on the host.
    Raises:
        ArgumentError: there is not so much memory left.
    """
    if count < _MIN_CHECKED:
        return
    left = _device_left() if on_device and device.current().kind != "cpu" else available()
    if left is not None and count > left:
        raise ArgumentError(f"{what} would take {format_bytes(count)} of memory, and {format_bytes(left)} are left")


_MIN_CHECKED = 1 << 26


def _device_left() -> int:
    xp = device.current().xp
    return xp.cuda.runtime.memGetInfo()[0] + xp.get_default_memory_pool().free_bytes()


def _machine_left() -> int | None:
    try:
        rows = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        return sum(int(rows[name].split()[0]) << 10 for name in ("MemAvailable", "SwapFree"))
    except (OSError, KeyError, ValueError):
        pass
    try:  # all that it has, where the system does not tell what is left
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # no such question on Windows
        return None


def _group_left() -> int | None:
    folder = Path("/sys/fs/cgroup")
    try:
        limit, used = (folder / "memory.max").read_text().strip(), int((folder / "memory.current").read_text())
        statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        # Files that were read count as used, and are dropped when memory is needed.
        return None if limit == "max" else max(0, int(limit) - used + int(statistics.get("inactive_file", 0)))
    except (OSError, ValueError):
        return None


def _addresses_left() -> int | None:
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError, ValueError):
        return None
    return None if limit == resource.RLIM_INFINITY else max(0, limit - pages * resource.getpagesize())


def _host_peak() -> int | None:
    try:  # of this very program, where the general way includes what the process was before it became this one
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    except OSError:
        pass
    try:
        import resource
    except ImportError:  # no such thing on Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10


def persistent(xp: Any) -> contextlib.AbstractContextManager:
    """``with persistent(xp):`` new arrays lie in the common pool, whichever pool is in use.

    For what is made once and stays, such as a workspace: in the pool of captured steps it could lie where the next
    launch of an earlier graph writes.
    """
    return xp.cuda.using_allocator(xp.get_default_memory_pool().malloc)
