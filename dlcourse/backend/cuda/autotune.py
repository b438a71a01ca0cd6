"""Choose the fastest of several implementations of one computation: each is measured once for each setting.

They are timed as a training step uses them: captured as a CUDA graph, several times in a row. Launched from Python, the
small products and convolutions of a course would be timed by how long Python takes to launch them. Before that, each
result is compared with that of our own implementation, whose error is known; a candidate is left out that is further
off than stated, that the library refuses, or that cannot be captured. A choice holds for the life of the process.

As time decides, another run may choose otherwise and so round otherwise. With ``--deterministic`` our own
implementation is taken, and nothing is measured.
"""

from collections.abc import Callable, Hashable, Mapping
from typing import Any

from dlcourse.backend import determinism
from dlcourse.backend.autotune import DEFAULT, Candidate, Choice, require_close
from dlcourse.backend.cuda.pools import SideStream, no_garbage_collection

REPEATS, ROUNDS = 8, 3
"""A graph holds so many calls in a row; of so many launches of it the fastest counts."""

choices: dict[Hashable, Choice] = {}
"""All choices of this process."""


def choose(key: Hashable, own: Candidate, others: Callable[[], Mapping[str, Candidate]], error: float) -> str:
    """The name of the fastest candidate, DEFAULT for our own; the first call with a key measures.

    While a stream is capturing nothing can be measured: without an earlier choice our own is taken, and it stays open.

    Args:
        key: of all that the time depends on: what is computed, the device, sizes, settings, element type, precision.
        own: our implementation, which always works.
        others: gives the other candidates by their names, the same ones at every call. Each returns a new array and
            may be called again and again.
        error: the largest difference from our own result that another candidate may have, as a share of that result's
            largest element.
    """
    if determinism.demanded():
        return DEFAULT
    if key not in choices:
        if _capturing():
            return DEFAULT
        choices[key] = _measured(own, others(), error)
    return choices[key].name


def _capturing() -> bool:
    import cupy

    return cupy.cuda.get_current_stream().is_capturing()


def _measured(own: Candidate, others: Mapping[str, Candidate], error: float) -> Choice:
    """Measure on a stream and in memory of its own; the arrays that the candidates read have to be there before."""
    import cupy

    if not others:
        return Choice()
    cupy.cuda.get_current_stream().synchronize()
    side = SideStream(cupy)
    try:
        with side.stream, side.allocating():
            return _compared({DEFAULT: own, **others}, error, side.stream)
    finally:
        side.close()


def _compared(candidates: Mapping[str, Candidate], error: float, stream: Any) -> Choice:
    """Measure all; our own comes first. Nothing that they made is left behind: its memory is given back after this."""
    choice, graphs, expected = Choice(), {}, None
    for name, candidate in candidates.items():
        try:
            result = candidate()  # compiles, loads and fills the pool, for which a capture is too late
            expected = result if expected is None else expected
            require_close(result, expected, error)
            graphs[name] = _captured(candidate, stream)
        except Exception as refusal:  # CuPy and the libraries refuse in many types; each has the same consequence
            choice.left_out[name] = f"{type(refusal).__name__}: {refusal}".splitlines()[0]
        if expected is None:  # our own found no memory here: there is nothing to compare with
            break
    choice.milliseconds = _times(graphs)
    stream.synchronize()
    if expected is not None:
        choice.name = min(choice.milliseconds, key=lambda each: choice.milliseconds[each], default=DEFAULT)
    return choice


def _captured(candidate: Candidate, stream: Any) -> Any:
    with no_garbage_collection():
        stream.begin_capture()
        try:
            for _ in range(REPEATS):
                candidate()
        finally:
            graph = stream.end_capture()
    return graph


def _times(graphs: Mapping[str, Any]) -> dict[str, float]:
    """Milliseconds of one call; the candidates take turns, so that a change of the clock rate meets all of them."""
    import cupy

    for graph in graphs.values():
        graph.launch()
    best = dict.fromkeys(graphs, float("inf"))
    for _ in range(ROUNDS):
        for name, graph in graphs.items():
            start, end = cupy.cuda.Event(), cupy.cuda.Event()
            start.record()
            graph.launch()
            end.record()
            end.synchronize()
            best[name] = min(best[name], cupy.cuda.get_elapsed_time(start, end) / REPEATS)
    return best


__all__ = ["DEFAULT", "Candidate", "Choice", "choices", "choose"]
