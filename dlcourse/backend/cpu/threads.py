"""One budget of threads for everything that computes on the CPU, and the pool that spends it.

NumPy lets go of the interpreter's lock during arithmetic, so Python threads add up where an operation goes element by
element. OpenBLAS has threads of its own; inside :func:`run` it is held to one, so that the two do not fight.
"""

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import threadpoolctl

from dlcourse.resources import cores

_inside = threading.local()


@functools.cache
def budget() -> int:
    """How many threads may compute: ``OMP_NUM_THREADS`` where it is set, else the cores this process may use."""
    text = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if text.isdigit() and int(text) > 0:
        return int(text)
    return cores()


@functools.cache
def _pool(size: int) -> ThreadPoolExecutor | None:
    """A pool whose threads run already: ``size``, or as many as the system allows; None where it starts none.

    All start here, so that no later call can fail at one: the executor keeps what it was given before it started the
    thread that failed, and would do that at any time later.
    """
    while size:
        pool, gate, started = ThreadPoolExecutor(size, thread_name_prefix="dlcourse"), threading.Event(), 0
        try:
            for _ in range(size):
                pool.submit(gate.wait)  # keeps its thread busy, so that the next one needs another
                started += 1
            return pool
        except RuntimeError:  # "can't start new thread"
            size = started
        finally:
            gate.set()
        pool.shutdown()
    return None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a fork copies the pool, not its threads


class _Blas:
    """The number of threads of NumPy's matrix library, set by a call of less than a microsecond."""

    def __init__(self) -> None:
        pools = threadpoolctl.ThreadpoolController().select(user_api="blas").lib_controllers
        self.pools = [_calls(pool) for pool in pools if pool.num_threads and "openblas" in pool.internal_api]
        self.before: list[int] = []
        self.depth = 0
        self.lock = threading.Lock()

    def __enter__(self) -> None:
        with self.lock:
            self.depth += 1
            if self.depth == 1:
                self.before = [get() for get, _ in self.pools]
                for _, set_to in self.pools:
                    set_to(1)

    def __exit__(self, *error: Any) -> None:
        with self.lock:
            self.depth -= 1
            if self.depth == 0:
                for (_, set_to), count in zip(self.pools, self.before, strict=True):
                    set_to(count)


def _calls(pool: Any) -> tuple[Callable[[], int], Callable[[int], Any]]:
    """What asks for a pool's number of threads, and what sets it: the library's own functions where they work, since
    threadpoolctl looks them up at each call, and lets only the first thread that sets the number do so."""
    name = next((each for each in pool.check_symbols if hasattr(pool.dynlib, each)), None)
    if name is None or pool.threading_layer == "openmp":
        return pool.get_num_threads, pool.set_num_threads
    return getattr(pool.dynlib, name), getattr(pool.dynlib, name.replace("_get_", "_set_"))


_blas = functools.cache(_Blas)


def single_blas() -> _Blas:
    """``with single_blas():`` OpenBLAS computes on the calling thread alone, and wakes no others that would spin."""
    return _blas()


def run(work: Callable[[Any], None], parts: Iterable[Any], blas: bool = False) -> None:
    """``work(part)`` for every part, on all threads of the budget; the first error is raised here.

    Args:
        work: writes its results into arrays; parts must not write to the same elements.
        parts: taken in turn by whichever thread is free, so many small ones balance.
        blas: ``work`` multiplies matrices: hold OpenBLAS to one thread meanwhile.
    """
    parts = list(parts)
    count = min(budget(), len(parts))
    if count <= 1 or getattr(_inside, "busy", False):
        with single_blas() if blas else contextlib.nullcontext():
            for part in parts:
                work(part)
        return
    waiting = iter(parts)

    def take() -> None:
        _inside.busy = True
        try:
            # next() on a list's iterator is one step under the interpreter's lock: no part is taken twice.
            for part in waiting:
                work(part)
        finally:
            parts.clear()  # after an error the other threads begin no further part
            _inside.busy = False

    def compute() -> None:
        pool: Any = _pool(budget())
        futures = []
        try:
            with contextlib.suppress(RuntimeError):  # the interpreter is ending, and takes no more work
                for _ in range(count - 1 if pool else 0):
                    futures.append(pool.submit(take))
            take()
        finally:
            # What did not begin never will, what did is waited for: nothing writes into the arrays after the return.
            begun = [future for future in futures if not future.cancel()]
            wait(begun)
        for future in begun:
            future.result()

    with single_blas() if blas else contextlib.nullcontext():
        compute()


def slices(length: int, size: int) -> list[slice]:
    """A length cut into pieces of ``size``, the last one shorter."""
    return [slice(start, min(start + size, length)) for start in range(0, length, max(1, size))]
