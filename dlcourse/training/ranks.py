"""What several ranks that train one model do in turns or together; with one process nothing."""

import itertools
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from dlcourse import backend
from dlcourse.backend import collectives
from dlcourse.errors import DlcourseError
from dlcourse.optim.swa_utils import running_statistics


def in_turns(items: Iterable[Any], compute: Callable[[Any], Any]) -> Iterator[tuple[Any, Any]]:
    """Each item in order, and what ``compute`` makes of it: arrays on the device, in a tuple or a dict.

    Where several ranks train together, each computes its share, and all get everything, in the same order.
    """
    group, rest = collectives.group(), iter(items)
    while items := list(itertools.islice(rest, group.size)):
        own = compute(items[group.rank]) if group.rank < len(items) else None
        for rank, item in enumerate(items):
            yield item, own if group.size == 1 else _broadcast(own, rank)


def _broadcast(value: Any, root: int) -> Any:
    """What one rank has, on the device of each."""
    group = collectives.group()
    if group.rank == root:
        value = _each(backend.to_host, value)
    return _each(backend.current().asarray, group.broadcast(value, root))


def _each(function: Callable[[Any], Any], value: Any) -> Any:
    if isinstance(value, dict):
        return {name: function(each) for name, each in value.items()}
    return tuple(map(function, value))


def agree(model: Any) -> None:
    """Make sure that all ranks have the same weights, and give them the running statistics of rank 0.

    Raises:
        DlcourseError: the weights differ: what each rank computes from the same gradient came out otherwise.
    """
    group = collectives.group()
    if group.size == 1:
        return
    sums = group.gather([zlib.crc32(backend.to_host(p.data).tobytes()) for p in model.parameters()])
    for (name, _), *own in zip(model.named_parameters(), *sums, strict=True):
        if len(set(own)) > 1:
            raise DlcourseError(
                f"the ranks' weights {name} differ, though all took the same steps; are the processors, or the "
                "libraries, of different kinds? --deterministic, or DLCOURSE_TIMED_PRODUCTS=0, may help"
            )
    for array in running_statistics(model).values():
        array[...] = _broadcast((array,), 0)[0]


def share(model: Any) -> None:
    """Give all ranks the model's state as rank 0 has it."""
    group = collectives.group()
    if group.size > 1:
        state = group.broadcast(model.state_dict() if group.rank == 0 else None)
        if group.rank:
            model.load_state_dict(state)
