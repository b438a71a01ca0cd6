"""Kernels: what an operation needs beyond a line of array arithmetic.

A **reference** is plain array code that anyone can read, valid for NumPy and CuPy arrays: it is the specification. An
**override** in ``backend/cpu`` or ``backend/cuda`` has the same name and signature and is faster on that device. A
call goes to the override where there is one, chosen by the type of the first argument, which is always an array.
Every override is tested against its reference (``tests/backend/test_kernels.py``); a kernel without cases fails there.

    @kernel                                 # backend/kernels/optim.py
    def sgd_step(weight, grad, ...): ...

    @override(kernels.sgd_step, "cpu")      # backend/cpu/optim.py
    def sgd_step(weight, grad, ...): ...
"""

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np

from dlcourse.backend.device import load
from dlcourse.backend.kernels.half import in_float32

_kernels: dict[str, "Kernel"] = {}


class Kernel:
    """A reference and its overrides, called like a function.

    Args:
        reference: the specification.
        kept: which of its results stay float32 where the arrays have 16 bits.
        raw: the reference takes arrays of 16 bits as they are; else they come as float32, and its results are rounded.
    """

    def __init__(self, reference: Callable, kept: Collection[int] = (), raw: bool = False):
        functools.update_wrapper(self, reference)
        self.name, self.kept = reference.__name__, kept
        self.reference = reference if raw else in_float32(reference, kept)
        self.signature = inspect.signature(reference)
        self.overrides: dict[str, Callable] = {}
        self._chosen: dict[type, Callable] = {}

    def __call__(self, array: Any, *args: Any, **kwargs: Any) -> Any:
        implementation = self._chosen.get(type(array)) or self._choose(type(array))
        return implementation(array, *args, **kwargs)

    def _choose(self, array_type: type) -> Callable:
        if issubclass(array_type, np.generic):  # arithmetic on arrays without axes gives NumPy's scalars
            self._chosen[array_type] = self.reference
        else:
            kind = "cpu" if issubclass(array_type, np.ndarray) else "cuda"
            load(kind)
            self._chosen[array_type] = self.overrides.get(kind, self.reference)
        return self._chosen[array_type]


def kernel(reference: Callable | None = None, *, kept: Collection[int] = (), raw: bool = False) -> Any:
    """Declare a reference implementation; its name becomes the kernel's. ``kept``, ``raw``: see :class:`Kernel`."""
    if reference is None:
        return functools.partial(kernel, kept=kept, raw=raw)
    if reference.__name__ in _kernels:
        raise ValueError(f"two kernels are named {reference.__name__!r}")
    made = _kernels[reference.__name__] = Kernel(reference, kept, raw)
    return made


def override(of: Kernel, kind: str, half: bool = False) -> Callable[[Callable], Callable]:
    """Declare a faster implementation of a kernel for ``cpu`` or ``cuda``: same name, same signature.

    Args:
        half: it takes arrays of 16 bits as they are; else they come as float32, and its results are rounded.
    """

    def declare(function: Callable) -> Callable:
        ours, theirs = inspect.signature(function), of.signature
        if function.__name__ != of.name or list(ours.parameters.values()) != list(theirs.parameters.values()):
            raise TypeError(f"override {function.__name__}{ours} is not the kernel {of.name}{theirs}")
        of.overrides[kind] = function if half else in_float32(function, of.kept)
        of._chosen.clear()
        return function

    return declare


def all_kernels() -> Iterator[Kernel]:
    """Every kernel there is, its overrides loaded; for tests and for ``dlcourse devices``."""
    for module in pkgutil.iter_modules(__path__, __name__ + "."):
        importlib.import_module(module.name)
    load("cpu")
    yield from _kernels.values()
