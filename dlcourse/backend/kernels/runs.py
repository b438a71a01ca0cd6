"""Values of the same place joined, where they lie one behind the other."""

from typing import Any

from dlcourse.backend.device import Array, array_module


def join_runs(places: Array, values: Array, join: Any) -> tuple[Array, Array]:
    """The values (M, ...) of each place joined, in log2 M passes of one order.

    Each value joins the one 1, 2, 4, ... before it where that has its place too; the last of a place then holds all.

    Args:
        places: (M,), sorted, at least one.
        join: a function of two arrays that is associative, such as ``xp.add``.
    Returns:
        The places, each once, and what their values come to.
    """
    xp = array_module(values)
    found, distance = values.copy(), 1
    rows = (slice(None), *(None,) * (values.ndim - 1))
    while distance < len(places):
        same = (places[distance:] == places[:-distance])[rows]
        found[distance:] = xp.where(same, join(found[:-distance], found[distance:]), found[distance:])
        distance *= 2
    last = xp.concatenate([places[1:] != places[:-1], xp.ones(1, dtype=bool)])
    return places[last], found[last]
