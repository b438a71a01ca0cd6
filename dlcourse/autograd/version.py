"""Version counters: backward refuses an array that was changed in place after the forward pass.

PyTorch's rule: each leaf counts its changes in place (an optimizer's step, a loaded state, ``copy_``, ``-=``), its
views share the count, and backward compares it with what it was in the forward pass. What is done to ``.data`` is not
counted.
"""

import sys
import weakref
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from dlcourse.autograd.function import name_of
from dlcourse.backend import address
from dlcourse.backend.device import Array

Seen = tuple["Changes", int, Array]
"""An input of an operation: whose changes are counted, how many there were, and its array."""


class Changes:
    """How often some memory was changed in place, and by what last."""

    __slots__ = ("count", "what")

    def __init__(self) -> None:
        self.count, self.what = 0, ""


class Version:
    """What a tensor and its views share: the changes of their memory.

    Args:
        node: what made the memory, where it is a result that has a graph.
        lent: the memory is a data set's; a model that changes its input must not change it.
    Attributes:
        changes: what a graph looks at.
        node: a weak reference to the node, None where there is none.
    """

    __slots__ = ("changes", "lent", "node")

    def __init__(self, node: Any = None, lent: bool = False) -> None:
        self.changes, self.lent = Changes(), lent
        self.node = None if node is None else weakref.ref(node)

    def __reduce__(self) -> tuple:
        return Version, ()  # a copy of a tensor has memory of its own

    @property
    def kept(self) -> bool:
        """Whether the memory has to stay as it is: a graph that waits for its backward pass may have saved it."""
        node = None if self.node is None else self.node()
        return self.lent or (node is not None and node.function is not None)

    def change(self, what: str) -> None:
        """Count a change."""
        self.changes.count += 1
        self.changes.what = what


def references(x: Any, name: str) -> int:
    """How many hold what ``x.name`` holds, counted as :data:`ALONE` is."""
    return sys.getrefcount(getattr(x, name))


def is_shared(x: Any, but: Any = None) -> bool:
    """Whether another tensor that is alive shares this tensor's memory: a view of it, or what it is a view of.

    Args:
        but: a tensor that does not count.
    """
    version = x._version
    if version is None:
        return False
    del version
    return references(x, "_version") > ALONE + (but is not None and but._version is x._version)


def is_operand(x: Any) -> bool:
    """Whether x, asked about by ``x.__iadd__``'s helper, has no name: ``y[i]`` in ``y[i] += 1``."""
    return sys.getrefcount(x) <= _Counts.operand


def is_value(x: Any) -> bool:
    """Whether x, asked about by ``__setitem__``, has no name: ``y[j]`` in ``y[i] = y[j]``."""
    return sys.getrefcount(x) <= _Counts.value


class _Holder:
    __slots__ = ("held",)

    def __init__(self) -> None:
        self.held = Changes()


ALONE = references(_Holder(), "held")
"""What :func:`references` says where nothing else holds it; Python's versions count differently."""


class _Counts:
    """Counts what holds an object without a name where :func:`is_operand` and :func:`is_value` ask."""

    operand = value = 0

    def __getitem__(self, index: int) -> "_Counts":
        return _Counts()

    def __add__(self, other: Any) -> Any: ...

    def __iadd__(self, other: Any) -> "_Counts":
        return self._changed("+=", self.__add__, other)

    def _changed(self, name: str, compute: Any, other: Any) -> "_Counts":
        _Counts.operand = _references(self)
        return self

    def __setitem__(self, index: int, value: Any) -> None:
        _Counts.value = _references(value)


def _references(x: Any) -> int:
    return sys.getrefcount(x)


_counts = _Counts()
_counts[0] += 1
_counts[0] = _counts[1]


def seen(inputs: Sequence[Any], arrays: Sequence[Array]) -> list[Seen]:
    """The inputs that can change in place: leaves, and views of them."""
    found = []
    for x, array in zip(inputs, arrays, strict=True):
        if x is not array:  # a tensor, not a number
            version = x._version
            if version is None:
                if x._node is not None:
                    continue
                version = x._version = Version()
            elif version.node is not None and x._node is not None:
                continue  # such memory never changes, see :mod:`.in_place`
            found.append((version.changes, version.changes.count, array))
    return found


def of_view(value: Array, x: Any) -> Version | None:
    """What a result shares with the input that it is a view of; None where it became a copy."""
    array = x.data
    if value.base is None and value is not array:
        return None
    if x._version is None:
        x._version = Version(x._node)
    return x._version


def check(function: Any, changes: Changes, array: Array) -> None:
    """Raise where the function saved that array, which has changed since.

    Raises:
        RuntimeError: names the operation, the array and the change.
    """
    if any(overlap(array, saved) for saved in arrays_in(vars(function).values())):
        raise RuntimeError(
            f"backward: an input of {name_of(function)} of shape {array.shape} was changed in place, by "
            f"{changes.what}, after the forward pass that saved it: the gradient would be wrong. Call backward before "
            "the change, or compute the loss anew after it"
        )


def arrays_in(values: Iterable[Any]) -> Iterator[Array]:
    """All arrays that a function keeps, in whatever it keeps them."""
    for value in values:
        if hasattr(value, "strides") and hasattr(value, "dtype"):
            yield value
        elif isinstance(value, tuple | list):
            yield from arrays_in(value)
        elif isinstance(value, dict):
            yield from arrays_in(value.values())
        elif hasattr(value, "__dict__") and not isinstance(value, type):
            yield from arrays_in(vars(value).values())


def overlap(first: Array, second: Array) -> bool:
    (start, end), (other, last) = _bounds(first), _bounds(second)
    return start < last and other < end


def _bounds(array: Array) -> tuple[int, int]:
    start = address(array)
    extent = sum((length - 1) * stride for length, stride in zip(array.shape, array.strides, strict=True))
    return start, start + (extent + array.itemsize if array.size else 0)
