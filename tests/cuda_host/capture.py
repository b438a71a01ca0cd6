"""A stream's capture as a list of calls: what CUDA graphs do, for the stand-in.

While a stream captures, calls are noted and also carried out, since the shapes of results are needed; at the end what
they changed is put back, so that a capture changes nothing, as on a GPU. A launch carries the calls out again, into the
same memory. What reads the device from the host, or brings something to it, is refused, as CUDA refuses it.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

ALLOCATIONS = {"empty", "empty_like"}

_noting: "Graph | None" = None


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


class Stream:
    """``cupy.cuda.Stream``: there is one order of things here, whichever stream is asked."""

    ptr = 0

    def __init__(self, non_blocking: bool = False):
        pass

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: Any) -> None:
        pass

    def synchronize(self) -> None:
        refuse("waiting for a stream")

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
            array[...] = before
        graph.before.clear()
        return graph


class Event:
    """``cupy.cuda.Event``: the time at which it was recorded."""

    clock = staticmethod(time.perf_counter)

    def record(self, stream: Any = None) -> None:
        self.seconds = self.clock()

    def synchronize(self) -> None:
        refuse("waiting for an event")


def milliseconds(start: Event, end: Event) -> float:
    """``cupy.cuda.get_elapsed_time``."""
    return 1e3 * (end.seconds - start.seconds)


def refuse(what: str) -> None:
    """Raise where a stream is capturing."""
    if _noting is not None:
        raise CaptureRefused(f"{what} is not permitted while a stream is capturing")


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
        name: what is launched; taking memory launches nothing.
    """
    if _noting is None:
        return
    results, inputs = list(results), list(inputs)
    _noting.held.append((results, inputs, held))
    fresh = [not any(np.may_share_memory(result, array) for array in inputs) for result in results]
    if results and not any(fresh):
        return

    def again() -> None:
        made = call()
        made = made if isinstance(made, tuple | list) else (made,)
        for result, new, own in zip(results, made, fresh, strict=False):
            if own:
                result[...] = new

    _noting.calls.append(again)
    if name not in ALLOCATIONS:
        _noting.launches.append(name)
