"""A stream's capture as a list of calls: what CUDA graphs do, for the stand-in.

While a stream captures, calls are noted and also carried out, since the shapes of results are needed; at the end what
they changed is put back, so that a capture changes nothing, as on a GPU. A launch carries the calls out again, into the
same memory. What reads the device from the host, or brings something to it, is refused, as CUDA refuses it.
"""

import itertools
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

ALLOCATIONS = {"empty", "empty_like"}
JOINS = {"concatenate", "stack", "hstack", "vstack"}
"""CuPy copies each of their arrays by a launch of its own, up to eight (``_routines_manipulation.pyx``)."""

_noting: "Graph | None" = None
_waits = 0


class CaptureRefused(RuntimeError):
    """An operation that a capturing stream does not permit."""


class Graph:
    """Calls to carry out again; everything that they made stays alive."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []
        self.before: list[tuple[np.ndarray, np.ndarray]] = []
        self.held: list[Any] = []
        self.launches: list[str] = []
        """What a GPU would be asked for, by name: our kernels, products, and the array library's own operations."""

    def launch(self, stream: Any = None) -> None:
        for call in self.calls:
            call()

    def debug_dot_str(self, flags: int = 0) -> str:
        """One node a call, as CUDA prints them."""
        node = '"graph_1_node_{0}"[style="bold" shape="octagon" label="{0}\n{1}\n"];'
        nodes = [node.format(index, call.name) for index, call in enumerate(self.calls)]
        edges = [f'"graph_1_node_{i}" -> "graph_1_node_{i + 1}" [headlabel=0];' for i in range(len(nodes) - 1)]
        inside = "\n".join(nodes + edges)
        return f'digraph dot {{\nsubgraph cluster_1 {{\nlabel="graph_1" graph[style="dashed"];\n{inside}\n}}\n}}\n'


class Event:
    """``cupy.cuda.Event``: done once a wait has ended, as on a device that is busy until then."""

    clock = staticmethod(time.perf_counter)

    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False):
        self.at = self.waited = -1

    def record(self, stream: Any = None) -> None:
        refuse("an event to be timed")
        self.at, self.waited = self.clock(), _waits

    @property
    def done(self) -> bool:
        return self.waited < _waits

    def synchronize(self) -> None:
        wait("an event")


def elapsed(start: Event, end: Event) -> float:
    """``cupy.cuda.get_elapsed_time``: milliseconds between two events that are done."""
    assert start.done and end.done
    return 1e3 * (end.at - start.at)


class Stream:
    """``cupy.cuda.Stream``: there is one order of things here, whichever stream is asked."""

    numbers = itertools.count(1)

    def __init__(self, non_blocking: bool = False):
        self.ptr = next(self.numbers)

    def __enter__(self) -> "Stream":
        _entered.append(self)
        return self

    def __exit__(self, *_: Any) -> None:
        assert _entered.pop() is self

    def synchronize(self) -> None:
        wait("a stream")

    def wait_event(self, event: "Event") -> None:
        assert event.at != -1, "an event that was not recorded"

    def is_capturing(self) -> bool:
        return _noting is not None

    def begin_capture(self, mode: Any = None) -> None:
        global _noting
        assert _noting is None
        _noting = Graph()

    def end_capture(self) -> Graph:
        global _noting
        graph, _noting = _noting, None
        for array, before in reversed(graph.before):
            if array.flags.writeable:  # one that is read only, as a broadcast one, is a view of another
                array[...] = before
        graph.before.clear()
        return graph


NULL_STREAM = Stream()
NULL_STREAM.ptr = 0
_entered: list[Stream] = []


def current_stream() -> Stream:
    """``cupy.cuda.get_current_stream``."""
    return _entered[-1] if _entered else NULL_STREAM


def refuse(what: str) -> None:
    """Raise where a stream is capturing."""
    if _noting is not None:
        raise CaptureRefused(f"{what} is not permitted while a stream is capturing")


def wait(for_what: str) -> None:
    """The device has done all that was asked of it."""
    global _waits
    refuse(f"waiting for {for_what}")
    _waits += 1


def changing(arrays: Iterable[np.ndarray]) -> None:
    """Say that a call is about to write into these."""
    if _noting is not None:
        _noting.before.extend((array, array.copy()) for array in arrays)


def note(
    call: Callable[[], Any],
    results: Iterable[np.ndarray],
    inputs: Iterable[np.ndarray],
    held: Any = None,
    name: str = "",
) -> None:
    """A call was made; its results are fresh arrays, or views of the inputs, which need no call.

    Args:
        name: what is launched, ``cupy_`` before it where that is CuPy's own; taking memory launches nothing.
    """
    if _noting is None:
        return
    results, inputs = list(results), list(inputs)
    _noting.held.append((results, inputs, held))
    operation = name.removeprefix("cupy_")
    if operation in ALLOCATIONS:
        return
    fresh = [not any(np.may_share_memory(result, array) for array in inputs) for result in results]
    if results and not any(fresh):
        return

    def again() -> None:
        made = call()
        made = made if isinstance(made, tuple | list) else (made,)
        for result, new, own in zip(results, made, fresh, strict=False):
            if own:
                result[...] = new

    again.name = name
    _noting.calls.append(again)
    _noting.launches += [operation] * (len(inputs) if operation in JOINS and len(inputs) <= 8 else 1)
