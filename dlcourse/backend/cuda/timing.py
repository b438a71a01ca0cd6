"""Device time of each launch of a step, by CUDA events and nothing else.

Kernels of a microsecond cannot be timed by events around launches from Python: the device runs dry between two of
them, and the host's ten microseconds are taken for the kernel's. So the stream is held by a kernel that only waits
while the host queues some launches with an event before and behind each; then the device runs them one after another,
at its own pace. If the hold was over before all of them were queued, their numbers are thrown away and the next hold
is longer.

What lies between the event behind one launch and the event before the next is CuPy's own work: elementwise kernels,
reductions, copies. Its time is what those two are apart; how many launches it is, the step's graph tells, captured once
and never launched. Two events with nothing between them are some microseconds apart too: that is taken off.
"""

import contextlib
import re
import statistics
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from dlcourse.backend import precision, tracing
from dlcourse.backend.cuda.blas import gemm
from dlcourse.backend.cuda.pools import SideStream, no_garbage_collection
from dlcourse.backend.cuda.program import program
from dlcourse.backend.device import Array, Backend
from dlcourse.backend.tracing import Bounds, Measured, Row

WINDOW = 100
"""Launches behind one hold: with their events and what CuPy launches between them they must fit into the device's queue
(1,024 entries), or the host would wait for the hold to end."""
TICKS_PER_SECOND = 1.5e9
"""Of a multiprocessor's clock, roughly: a hold that turns out too short is extended."""
FIRST_HOLD, LONGEST_HOLD = 0.01, 0.25
"""Seconds. A display driver ends kernels that take some seconds."""
COPY_BYTES, GEMM_SIZE = 256 << 20, 4096
"""Of the copy and the product that find the bounds."""

_NODE = re.compile(r'^\s*"graph_\d+_node_\d+"\s*\[(.*?)\];', re.MULTILINE | re.DOTALL)
_CUPY_KERNEL = re.compile(r"cupy_\w+")


class LaunchTimer:
    """Times the launches of steps run eagerly, see :class:`dlcourse.backend.tracing.Recorder`.

    Args:
        device: where.
        dtype: the parameters': of the product that finds the arithmetic bound.
    """

    def __init__(self, device: Backend, dtype: np.dtype):
        self.device, self.xp, self.dtype = device, device.xp, dtype
        self.measured = Measured()
        self.hold = FIRST_HOLD
        self.empty: list[float] = []
        self.gaps = 0
        self.side = SideStream(self.xp)
        self.stream = self.side.stream
        self._close_side = weakref.finalize(self, self.side.close)
        self._close_side.atexit = False
        self.counted = False
        self.windows: list[_Window] = []

    @contextlib.contextmanager
    def recording(self, step: Any, x: Array, y: Array) -> Iterator[None]:
        self.windows = []
        self.device.synchronize()
        # A stream's memory is its own. With that of the first step the recording finds what it needs in the pool: a
        # capturing stream should not ask the driver for more.
        with self.side.allocating():
            with self.stream:
                self._open()
                with tracing.listening(self._launch):
                    yield
                self._close()
                self._add(self.windows)
            if not self.counted:
                self.counted = True
                self._count(step, x, y)

    def result(self) -> Measured:
        measured = self.measured
        if measured.steps:
            overhead = measured.overhead = statistics.median(self.empty)
            for row in measured.rows.values():
                row.seconds = max(row.seconds - row.calls * overhead, 0.0)
            measured.between.seconds = max(measured.between.seconds - self.gaps * overhead, 0.0)
            with self.side.allocating():  # this is no memory that the run needs
                measured.bounds = self._bounds()
        self._close_side()
        return measured

    def _launch(self, call: Callable[[], None], name: str, nbytes: int, flops: int | None) -> None:
        if len(self.windows[-1].launches) == WINDOW:
            self._close()
            self._open()
        start = self._event()
        call()
        self.windows[-1].launches.append((name, nbytes, flops or 0, start, self._event()))

    def _open(self) -> None:
        self.device.synchronize()
        with tracing.listening(None):
            program("hold").launch("hold", (1,), (1,), (np.int64(self.hold * TICKS_PER_SECOND),))
        self.windows.append(_Window(time.perf_counter(), self._event(), self._event()))

    def _close(self) -> None:
        window = self.windows[-1]
        window.end = self._event()
        window.valid = not window.held.done  # the device had not begun when the host had queued the last of it
        queued = time.perf_counter() - window.began
        # Twice what the host needed, so that a busier moment does no harm.
        wanted = 2 * queued if window.valid else max(2 * self.hold, 2 * queued)
        self.hold = min(max(wanted, FIRST_HOLD / 10), LONGEST_HOLD)
        self.device.synchronize()
        window.seen = time.perf_counter()

    def _add(self, windows: list["_Window"]) -> None:
        """Add a step's numbers, if all of them are valid."""
        measured = self.measured
        if not all(window.valid for window in windows):
            measured.lost += 1
            return
        measured.steps += 1
        for window in windows:
            self.empty.append(self._between(window.held, window.first))
            begin, last = window.seen - self._between(window.held, window.end), window.first
            for name, nbytes, flops, start, end in window.launches:
                row, seconds = measured.rows.setdefault(name, Row()), self._between(start, end)
                row.calls, row.nbytes, row.flops = row.calls + 1, row.nbytes + nbytes, row.flops + flops
                row.seconds += seconds
                measured.between.seconds += self._between(last, start)
                measured.events.append((name, int(self.stream.ptr), begin + self._between(window.held, start), seconds))
                last = end
            measured.between.seconds += self._between(last, window.end)
            self.gaps += len(window.launches) + 1

    def _count(self, step: Any, x: Array, y: Array) -> None:
        """Capture the step without running it, and count what is in it beside our own launches."""
        stream, optimizer, own = self.stream, step.optimizer, Counter[str]()
        steps_before = optimizer.steps

        def listener(call: Callable[[], None], name: str, nbytes: int, flops: int | None) -> None:
            own[name] += 1
            call()

        try:
            self.device.synchronize()
            with stream, no_garbage_collection():
                stream.begin_capture()
                try:
                    with tracing.listening(listener):
                        step.update(x, y)
                finally:
                    graph = stream.end_capture()
            dot = graph.debug_dot_str()
        except Exception:  # CuPy names what it refuses in many types; then the number stays unknown
            return
        finally:
            optimizer.steps = steps_before
        nodes, self.measured.names = nodes_of(dot)
        self.measured.between.calls = max(nodes - own.total(), 0)

    def _bounds(self) -> Bounds:
        attributes, xp = self.xp.cuda.Device(self.device.index).attributes, self.xp
        hertz, bits = 1e3 * attributes.get("MemoryClockRate", 0), attributes.get("GlobalMemoryBusWidth", 0)
        bandwidth, bandwidth_from = 2 * hertz * bits / 8, "from the memory's clock and width"
        if not bandwidth:  # newer drivers leave the clock out
            source = xp.zeros(COPY_BYTES, dtype=np.uint8)
            target = xp.empty_like(source)
            bandwidth = 2 * COPY_BYTES / self._best(lambda: xp.copyto(target, source))
            bandwidth_from = f"measured, a copy of {COPY_BYTES >> 20} MiB"
        a = xp.ones((GEMM_SIZE, GEMM_SIZE), dtype=self.dtype)
        out = xp.empty_like(a)
        rate = 2 * GEMM_SIZE**3 / self._best(lambda: gemm(a, a, out))
        kind = "tf32" if precision.tensor_float() and self.dtype == np.float32 else self.dtype.name
        return Bounds(bandwidth, bandwidth_from, rate, f"measured, a {kind} product of {GEMM_SIZE} x {GEMM_SIZE}")

    def _best(self, work: Callable[[], Any]) -> float:
        """Seconds of the quickest of some runs; long enough for plain events."""
        taken = []
        for _ in range(4):
            start = self._event()
            work()
            end = self._event()
            end.synchronize()
            taken.append(self._between(start, end))
        return max(min(taken), 1e-9)

    def _event(self) -> Any:
        event = self.xp.cuda.Event()
        event.record()
        return event

    def _between(self, first: Any, second: Any) -> float:
        return 1e-3 * self.xp.cuda.get_elapsed_time(first, second)


def nodes_of(dot: str | bytes) -> tuple[int, dict[str, int]]:
    """How many nodes a graph has, as ``cudaGraphDebugDotPrint`` writes them, and of each of CuPy's kernels how many."""
    nodes = _NODE.findall(dot.decode() if isinstance(dot, bytes) else dot)
    return len(nodes), dict(Counter(found[0] for node in nodes if (found := _CUPY_KERNEL.search(node))))


class _Window:
    """Launches behind one hold, each with its name, bytes, operations and the events before and behind it.

    ``held`` and ``first`` lie behind the hold with nothing between them.
    """

    def __init__(self, began: float, held: Any, first: Any):
        self.began, self.held, self.first = began, held, first
        self.launches: list[tuple[str, int, int, Any, Any]] = []
        self.end: Any = None
        self.valid, self.seen = False, 0.0
