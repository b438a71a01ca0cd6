"""Kernels: what an operation needs beyond a line of array arithmetic.

A **reference** is plain array code that anyone can read, valid for NumPy and CuPy arrays: it is the specification. An
**override** in ``backend/cpu`` or ``backend/cuda`` has the same name and signature and is faster on that device. A
call tries the overrides of the device on which its first argument lies, in order. One that does not suit the arguments
returns ``NotImplemented`` before it has written anything, as Python's own operators do, or raises :class:`Unsupported`
where :func:`declining` catches it; the reference comes last and takes all. Every override is tested against its
reference (``tests/backend/test_kernels.py``); a kernel without cases fails there.

    @kernel                                            # backend/kernels/activation.py
    def relu(x): ...

    @override(kernels.relu, "cpu", priority=1)         # backend/cpu/activation_onednn.py
    def relu(x): ...

    @override(kernels.relu, "cpu")                     # backend/cpu/activation.py
    def relu(x): ...
"""

import copy
import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

import numpy as np

from dlcourse.backend.device import load
from dlcourse.backend.kernels.half import FULL, in_float32

_kernels: dict[str, "Kernel"] = {}


class Implementation(NamedTuple):
    """One way to compute a kernel.

    Attributes:
        half: it takes arrays of 16 bits as they are; else they come as float32, and its results are rounded.
        priority: those of a higher one are tried earlier.
    """

    function: Callable
    half: bool
    priority: int = 0


class Kernel:
    """A reference and its overrides, called like a function.

    Args:
        reference: the specification.
        writes: names of the parameters that it writes to.
        float32_outputs: which of its results stay float32 where the arrays have 16 bits.
        half: the reference takes arrays of 16 bits as they are; else they come as float32, and its results are rounded.
    """

    def __init__(
        self,
        reference: Callable,
        writes: Collection[str] = (),
        float32_outputs: Collection[int] = (),
        half: bool = False,
    ):
        functools.update_wrapper(self, reference)
        self.name, self.signature = reference.__name__, inspect.signature(reference)
        positions = {list(self.signature.parameters).index(name) for name in writes}
        self._in_float32 = functools.partial(in_float32, writes=positions, float32_outputs=float32_outputs)
        self._last = Implementation(reference, half)
        self.reference = reference if half else self._in_float32(reference)
        self.overrides: dict[str, list[Implementation]] = {"cpu": [], "cuda": []}
        # By the array's type: what is tried for arrays of 32 and 64 bits, and what for others.
        self._bound: dict[type, tuple[tuple[Callable, ...], tuple[Callable, ...]]] = {}

    def __call__(self, array: Any, *args: Any) -> Any:
        full, other = self._bound.get(type(array)) or self._bind(type(array))
        # Where the first array has 32 or 64 bits, no other has 16: the usual case costs one look.
        for implementation in full if array.dtype in FULL else other:
            result = implementation(array, *args)
            if result is not NotImplemented:
                return result

    def _bind(self, array_type: type) -> tuple[tuple[Callable, ...], tuple[Callable, ...]]:
        tried = [self._last]
        if not issubclass(array_type, np.generic):  # arithmetic on arrays without axes gives NumPy's scalars
            kind = "cpu" if issubclass(array_type, np.ndarray) else "cuda"
            load(kind)
            tried = [*self.overrides[kind], self._last]
        full = tuple(each.function for each in tried)
        other = tuple(each.function if each.half else self._in_float32(each.function) for each in tried)
        self._bound[array_type] = full, other
        return full, other

    def add(self, kind: str, implementation: Implementation) -> None:
        """Try this, on that kind of device, after those of its priority that are there already."""
        self.overrides[kind].append(implementation)
        self.overrides[kind].sort(key=lambda each: -each.priority)
        self._bound.clear()

    def without(self, function: Callable) -> "Kernel":
        """This kernel as it is without one of its overrides."""
        other = copy.copy(self)
        other.overrides = {k: [e for e in tried if e.function is not function] for k, tried in self.overrides.items()}
        other._bound = {}
        return other


def kernel(
    reference: Callable | None = None,
    *,
    writes: Collection[str] = (),
    float32_outputs: Collection[int] = (),
    half: bool = False,
) -> Any:
    """Declare a reference implementation; its name becomes the kernel's. The arguments are :class:`Kernel`'s."""
    if reference is None:
        return functools.partial(kernel, writes=writes, float32_outputs=float32_outputs, half=half)
    if reference.__name__ in _kernels:
        raise ValueError(f"two kernels are named {reference.__name__!r}")
    made = _kernels[reference.__name__] = Kernel(reference, writes, float32_outputs, half)
    return made


def override(of: Kernel, kind: str, half: bool = False, priority: int = 0) -> Callable[[Callable], Callable]:
    """Declare a faster implementation of a kernel for ``cpu`` or ``cuda``: same name, same signature.

    It returns NotImplemented where it does not suit the arguments. ``half``, ``priority``: see
    :class:`Implementation`.
    """

    def declare(function: Callable) -> Callable:
        ours, theirs = inspect.signature(function), of.signature
        if function.__name__ != of.name or list(ours.parameters.values()) != list(theirs.parameters.values()):
            raise TypeError(f"override {function.__name__}{ours} is not the kernel {of.name}{theirs}")
        of.add(kind, Implementation(function, half, priority))
        return function

    return declare


class Unsupported(Exception):
    """An override of :func:`declining` does not suit its arguments."""


def require(condition: bool) -> None:
    """Raise :class:`Unsupported` where the condition does not hold: an override declines."""
    if not condition:
        raise Unsupported


def declining(function: Callable) -> Callable:
    """A function that returns NotImplemented where the given one raises :class:`Unsupported`."""

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        try:
            return function(*args)
        except Unsupported:
            return NotImplemented

    return call


def all_kernels() -> Iterator[Kernel]:
    """Every kernel there is, its overrides for the CPU loaded; for tests."""
    for module in pkgutil.iter_modules(__path__, __name__ + "."):
        importlib.import_module(module.name)
    load("cpu")
    yield from _kernels.values()
