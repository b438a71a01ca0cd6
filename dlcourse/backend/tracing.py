"""Optional hooks for the profiler: around every kernel launch on a device, and around named stretches of work.

Our own kernels (``cuda/program.py``) and matrix products (``cuda/blas.py``) ask for a listener at every launch; without
one that is all they pay, and a captured step, which Python does not see again, pays nothing. What the array library
launches by itself is not announced here; :mod:`dlcourse.backend.cuda.timing` finds it between the launches that are.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from dlcourse.backend import device
from dlcourse.backend.device import Array

Listener = Callable[[Callable[[], None], str, int, int | None], None]
"""``listener(call, name, nbytes, flops)`` makes the call, once, and may note its time.

``nbytes``: of the arrays that the launch is given, each counted once; ``flops``: its floating-point operations, None
where they are not known.
"""

listener: Listener | None = None
"""Set by :func:`listening` only."""


PhaseListener = Callable[[str | None], None]
phase_listener: PhaseListener | None = None
"""Set by :func:`listening_to_phases` only."""


def phase(name: str | None) -> None:
    """Say that a phase of training begins here, such as "forward", and ends the one before; None: only that it ends.

    A ``with`` block would say it too, but five of them are 2 % of a small step where nothing listens.
    """
    if phase_listener is not None:
        phase_listener(name)


@contextlib.contextmanager
def listening_to_phases(to: PhaseListener | None) -> Iterator[None]:
    """Inside the ``with`` block ``to`` is called with the name of each :func:`phase`; with None nothing is."""
    global phase_listener
    before, phase_listener = phase_listener, to
    try:
        yield
    finally:
        phase_listener = before


@contextlib.contextmanager
def listening(to: Listener | None) -> Iterator[None]:
    """Inside the ``with`` block every launch goes through ``to``; with None none does."""
    global listener
    before, listener = listener, to
    try:
        yield
    finally:
        listener = before


def nbytes(arguments: Any) -> int:
    """Bytes of the arrays among a launch's arguments, each once: what is moved at least if all of it is used."""
    arrays = {id(each): each for each in arguments if getattr(each, "shape", ())}
    return sum(array.nbytes for array in arrays.values())


@dataclass
class Row:
    """What all launches of one kernel took, summed over the steps measured.

    Attributes:
        seconds: on the device.
        nbytes: see :data:`Listener`.
        flops: 0 where they are not known.
    """

    calls: int = 0
    seconds: float = 0.0
    nbytes: int = 0
    flops: int = 0


@dataclass
class Bounds:
    """What the device can do at most, and where each number is from.

    Attributes:
        bandwidth: bytes a second.
        flops: operations a second.
    """

    bandwidth: float
    bandwidth_from: str
    flops: float
    flops_from: str


@dataclass
class Measured:
    """What the kernels of some steps took.

    Attributes:
        steps: how many were measured.
        lost: steps whose numbers were thrown away, see :mod:`dlcourse.backend.cuda.timing`.
        rows: by kernel.
        between: what the device did between two launches of ours: the array library's own kernels and copies. Its
            ``calls`` are 0 where they could not be counted.
        names: the array library's own kernels, how many of each in one step; empty where they are not known.
        overhead: seconds that the clock itself takes for each launch, taken off already.
        bounds: None where nothing was measured.
        events: (name, lane, start, duration) of each launch, the start in seconds of :func:`time.perf_counter`.
    """

    steps: int = 0
    lost: int = 0
    rows: dict[str, Row] = field(default_factory=dict)
    between: Row = field(default_factory=Row)
    names: dict[str, int] = field(default_factory=dict)
    overhead: float = 0.0
    bounds: Bounds | None = None
    events: list[tuple[str, int, float, float]] = field(default_factory=list)


class Recorder(Protocol):
    """Times the launches of steps that are run eagerly."""

    def recording(self, step: Any, x: Array, y: Array) -> contextlib.AbstractContextManager:
        """Time the launches inside the ``with`` block: those of one step (see :class:`~dlcourse.backend.capture.Step`)
        with this batch, run eagerly."""

    def result(self) -> Measured:
        """All that was measured; finds the device's bounds, which takes a moment."""


def recorder(of: Array) -> Recorder | None:
    """The recorder of launches for the device of this array; None on a CPU, which has no launches."""
    return device.of(of).launch_timer(of.dtype)
