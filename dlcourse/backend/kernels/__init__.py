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
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

_kernels: dict[str, "Kernel"] = {}


class Kernel:
    """A reference and its overrides, called like a function."""

    def __init__(self, reference: Callable):
        functools.update_wrapper(self, reference)
        self.name = reference.__name__
        self.reference = reference
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
            load_overrides(kind)
            self._chosen[array_type] = self.overrides.get(kind, self.reference)
        return self._chosen[array_type]


def kernel(reference: Callable) -> Kernel:
    """Declare a reference implementation; its name becomes the kernel's."""
    if reference.__name__ in _kernels:
        raise ValueError(f"two kernels are named {reference.__name__!r}")
    made = _kernels[reference.__name__] = Kernel(reference)
    return made


def override(of: Kernel, kind: str) -> Callable[[Callable], Callable]:
    """Declare a faster implementation of a kernel for ``cpu`` or ``cuda``: same name, same signature."""

    def declare(function: Callable) -> Callable:
        ours, theirs = inspect.signature(function), inspect.signature(of.reference)
        if function.__name__ != of.name or list(ours.parameters.values()) != list(theirs.parameters.values()):
            raise TypeError(f"override {function.__name__}{ours} is not the kernel {of.name}{theirs}")
        of.overrides[kind] = function
        of._chosen.clear()
        return function

    return declare


@functools.cache
def load_overrides(kind: str) -> None:
    """Import every module under ``backend/<kind>``, once; each declares its overrides."""
    package = importlib.import_module(f"dlcourse.backend.{kind}")
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)


def all_kernels() -> Iterator[Kernel]:
    """Every kernel there is, its overrides loaded; for tests and for ``dlcourse devices``."""
    for module in pkgutil.iter_modules(__path__, __name__ + "."):
        importlib.import_module(module.name)
    load_overrides("cpu")
    yield from _kernels.values()
