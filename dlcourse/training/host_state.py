"""What Python holds for a training step, as one number: a step captured on a GPU takes it in, and is captured anew."""

import functools
import itertools
import operator
import weakref
from collections.abc import Callable, Collection, Hashable, Iterator
from types import FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

import numpy as np

from dlcourse.autograd import Parameter, Tensor
from dlcourse.backend import array_module
from dlcourse.nn.module import Module

PLAIN = (bool, int, float, complex, str, bytes, np.generic, np.dtype, type, type(None), type(Ellipsis))
MAX_ITEMS = 1000
"""Of a list or dict whose members are looked at; a longer one, such as a vocabulary, counts as the object it is."""
MAX_DEPTH = 3
"""So many objects deep, one in another, attributes of a user's own are looked at; modules at any depth."""


class _Part(NamedTuple):
    """Attributes of an object, or members of a list or dict, as they were when they were read."""

    name: str
    held: Collection[Any]
    skipped: frozenset[str]
    values: list[Any]


class HostState:
    """Numbers, settings and arrays that objects hold, in their attributes and what lies in these.

    Numbers and strings count by value; arrays, functions and other objects by identity. What was read last is kept
    alive, so that the usual question, whether anything changed, is quick.

    Args:
        roots: objects, each with the names of attributes to leave out.
        but: parameters to leave out.
    Attributes:
        arrays: those found, also within tensors.
        last_changed: the attribute, such as ``Linear.scale``, by which another state was noticed last.
    """

    def __init__(self, *roots: tuple[Any, Collection[str]], but: Collection[Parameter] = ()):
        self._roots = [(root, frozenset(skipped)) for root, skipped in roots]
        self._but = {id(p) for p in but}
        self._parts: list[_Part] = []
        self._tensors: list[tuple[Tensor, Any]] = []
        self._picked: list[tuple[Collection[Any], frozenset[str]]] = []
        self._whole: list[Collection[Any]] = []
        self._values: list[Any] = []
        self._known: dict[Hashable, int] = {}
        self._identities: dict[int, tuple[Callable[[], Any], int]] = {}
        self._numbers = itertools.count()
        self._number = -1
        self.arrays: list[Any] = []

        self.last_changed: str | None = None

    @property
    def number(self) -> int:
        """The same number for the same state, another one for another."""
        changed = self._changed()
        if changed is not None or not self._parts:
            self.last_changed = changed
            self._number = self._known.setdefault(self._read(), len(self._known))
        return self._number

    def _changed(self) -> str | None:
        now = list(itertools.chain(*(_values(*each) for each in self._picked), *self._whole))
        same = len(now) == len(self._values) and all(map(operator.is_, now, self._values))
        if same and all(tensor.data is data for tensor, data in self._tensors):
            return None
        found = (_differing(part) for part in self._parts)
        return next((name for name in found if name is not None), "the data of a tensor")

    def _read(self) -> Hashable:
        self._parts, self._tensors, self.arrays = [], [], []
        seen: set[int] = set()
        state = tuple(self._of(root, type(root).__name__, seen, 0, skipped) for root, skipped in self._roots)
        self._parts.sort(key=lambda part: not part.skipped)
        self._picked = [(part.held, part.skipped) for part in self._parts if part.skipped]
        # A dict's view and a list have what is in them at any time.
        self._whole = [_view(part.held) for part in self._parts if not part.skipped]
        self._values = [value for part in self._parts for value in part.values]
        return state

    def _of(self, value: Any, name: str, seen: set[int], depth: int, skipped: frozenset[str] = frozenset()) -> Hashable:
        """What stands for a value; its members are read too."""
        if isinstance(value, PLAIN):
            return value
        if id(value) in seen:
            return self._identity(value)
        seen.add(id(value))
        if isinstance(value, Tensor):
            return self._tensor(value)
        if isinstance(value, np.ndarray) or array_module(value) is not np:
            self.arrays.append(value)
            return self._identity(value)
        held, kind = self._members(value, depth)
        if held is None:
            return self._identity(value)
        if not isinstance(value, list | tuple | dict | set | frozenset):
            name, depth = type(value).__name__, depth + (not isinstance(value, Module))
        values = _values(held, skipped)
        if isinstance(value, tuple) and all(isinstance(each, PLAIN) for each in values):
            return value
        self._parts.append(_Part(name, held, skipped, values))
        names = _names(held, name, skipped)
        return kind, *(self._of(each, at, seen, depth) for at, each in zip(names, values, strict=False))

    def _tensor(self, tensor: Tensor) -> Hashable:
        if id(tensor) in self._but:
            return self._identity(tensor)
        self._tensors.append((tensor, tensor.data))
        self.arrays.append(tensor.data)
        return self._identity(tensor), self._identity(tensor.data)

    def _members(self, value: Any, depth: int) -> tuple[Collection[Any] | None, Hashable]:
        """Where the members of a value lie, and what kind of value that is; None where it has none to look at."""
        if isinstance(value, list | tuple | dict | set | frozenset):
            return (value if len(value) <= MAX_ITEMS else None), type(value)
        if isinstance(value, Module):
            return vars(value), (self._identity(value), type(value))
        if isinstance(value, functools.partial):
            return [value.func, value.args, value.keywords], functools.partial
        if isinstance(value, MethodType):
            return [value.__self__], value.__func__
        if isinstance(value, FunctionType):
            cells = value.__closure__ or ()
            return (_Cells(cells) if cells else None), value.__code__
        if depth >= MAX_DEPTH or isinstance(value, ModuleType) or not hasattr(value, "__dict__"):
            return None, None
        return vars(value), (self._identity(value), type(value))

    def _identity(self, value: Any) -> int:
        """A number of this object's own, which no other one gets, also not one that comes to lie in its place."""
        known = self._identities.get(id(value))
        if known is None or known[0]() is not value:
            try:
                reference: Callable[[], Any] = weakref.ref(value)
            except TypeError:
                reference = functools.partial(_itself, value)
            known = self._identities[id(value)] = reference, next(self._numbers)
        return known[1]


def _itself(value: Any) -> Any:
    return value


class _Cells:
    """The variables of other functions that a function uses: numbers, arrays and modules, None for what is none.

    Lists and other objects of such a function are its own affair, such as what it keeps of each call.
    """

    def __init__(self, cells: tuple[Any, ...]):
        self._cells = cells

    def __iter__(self) -> Iterator[Any]:
        return (_content(cell) for cell in self._cells)

    def __len__(self) -> int:
        return len(self._cells)

    def __contains__(self, value: object) -> bool:
        return any(each is value for each in self)


def _content(cell: Any) -> Any:
    try:
        content = cell.cell_contents
    except ValueError:  # nothing was assigned yet
        return None
    known = isinstance(content, (*PLAIN, Tensor, np.ndarray, Module)) or array_module(content) is not np
    return content if known else None


def _view(held: Collection[Any]) -> Collection[Any]:
    return held.values() if isinstance(held, dict) else held


def _values(held: Collection[Any], skipped: frozenset[str]) -> list[Any]:
    if not isinstance(held, dict) or not skipped:
        return list(_view(held))
    return [value for name, value in held.items() if name not in skipped]


def _names(held: Collection[Any], name: str, skipped: frozenset[str]) -> list[str]:
    if isinstance(held, dict):
        return [f"{name}.{key}" for key in held if key not in skipped]
    return [name] * len(held)


def _differing(part: _Part) -> str | None:
    """The name of what is not what it was; None where all is."""
    now = _values(part.held, part.skipped)
    pairs = zip(_names(part.held, part.name, part.skipped), now, part.values, strict=False)
    shorter = part.name if len(now) < len(part.values) else None
    added = _names(part.held, part.name, part.skipped)[len(part.values) :]
    return next((name for name, value, before in pairs if value is not before), added[0] if added else shorter)


__all__ = ["HostState"]
