"""The processes that train one model together, and what they do as one: sums over all of them, and messages.

A process is a *rank* of a :class:`Group`. By itself it is a group of one, which costs nothing. What starts several
(``mpirun``) and connects them is :mod:`dlcourse.distributed`'s; a training step and batch normalization only ask
:func:`group`.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from dlcourse.backend.device import Array


class Part(NamedTuple):
    """The samples of a batch that a rank takes.

    Attributes:
        start, stop: which of them.
        total: how many all ranks have together.
        copies: how many ranks take each of them; more than 1 where there are fewer samples than ranks.
    """

    start: int
    stop: int
    total: int
    copies: int

    @property
    def share(self) -> float:
        """Of the batch's mean, what this part's mean counts for."""
        return (self.stop - self.start) / (self.total * self.copies)


class Group:
    """The ranks of a training; this class is the group of one process.

    Attributes:
        rank: the number of this process, from 0. Rank 0 writes.
        size: how many there are.
        local_rank: the number of this process among those of its machine: which GPU it takes.
        library: what connects the ranks, in words.
        copies: of the part of a batch that is computed now, see :class:`Part`.
        stop_requested: a signal that this rank received, else 0.
        stop_agreed: the same of any rank, known to all since the last :meth:`sum_over_ranks`.
    """

    rank, size, local_rank, copies = 0, 1, 0, 1
    library = "nothing"
    stop_requested = stop_agreed = 0

    def part(self, start: int, stop: int) -> Part:
        """What this rank takes of the samples from ``start`` on, before ``stop``: neighbors, as many as the others."""
        count = stop - start
        if count < self.size:
            self.copies = self.size
            return Part(start, stop, count, self.size)
        self.copies = 1
        first, last = (start + count * rank // self.size for rank in (self.rank, self.rank + 1))
        return Part(first, last, count, 1)

    def all_reduce(self, array: Array) -> Array:
        """Replace the array, of one shape on all ranks, by its sum over them; returns it."""
        return array

    def sum_over_ranks(self, number: float) -> float:
        """The sum of a number; at the same time ranks agree whether to stop."""
        self.stop_agreed = self.stop_requested
        return number

    def broadcast(self, value: Any, root: int = 0) -> Any:
        """The value that rank ``root`` gives, any Python object; arrays come on the host."""
        return value

    def wait_for_all(self) -> None:
        """Wait until all ranks are here; a long wait costs no processor time, which others may need."""

    def gather(self, value: Any) -> list[Any]:
        """The values of all ranks, in their order, on each."""
        return [value]

    def announce_failure(self) -> None:
        """Tell the others that this rank has failed, so that they do not wait for it in vain."""

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """An error inside the ``with`` block is raised where all ranks have one; where others go on, it ends them."""
        yield


SINGLE = Group()
_group = SINGLE


def group() -> Group:
    """The group that this process trains in."""
    return _group


def use(chosen: Group) -> None:
    """Train in this group from now on."""
    global _group
    _group = chosen


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Inside the ``with`` block this rank computes by itself, as a group of one."""
    before = group()
    use(SINGLE)
    try:
        yield
    finally:
        use(before)
