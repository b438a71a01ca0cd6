"""The default for arrays of 16 bits in a kernel: compute in float32, round the results.

That is the specification of half precision too: an override that reads and writes 16 bits itself computes in float32
inside, and rounds once.
"""

import functools
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from dlcourse.backend.precision import is_half

FULL = (np.dtype(np.float32), np.dtype(np.float64))
"""The types of more than 16 bits."""


def _astype(x: Any, dtype: Any) -> Any:
    return x.astype(dtype)


_convert: Callable[[Any, Any], Any] = _astype


def convert_by(function: Callable[[Any, Any], Any]) -> None:
    """Convert arrays by ``function(x, dtype)``. It calls the kernel ``cast``, and kernels are made with this module."""
    global _convert
    _convert = function


def half_among(values: Any) -> np.dtype | None:
    """The first 16-bit type among arrays, tuples of arrays and other values; None where there is none."""
    for value in values:
        if isinstance(value, tuple):
            found = half_among(value)
            if found is not None:
                return found
        elif hasattr(value, "dtype") and is_half(value.dtype):
            return value.dtype
    return None


def in_float32(function: Callable, writes: Collection[int] = (), float32_outputs: Collection[int] = ()) -> Callable:
    """A call of ``function`` on arrays of which some may have 16 bits.

    Args:
        writes: places of the arguments that it writes to.
        float32_outputs: places, in the tuple that is returned, of results that stay float32: statistics that a gradient
            needs.
    """

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        if getattr(args[0], "dtype", None) in FULL:  # then no other array has 16 bits
            return function(*args)
        half = half_among(args)
        if half is None:
            return function(*args)
        wide = [_widened(arg) for arg in args]
        result = function(*wide)
        if result is NotImplemented:
            return result
        targets: dict[int, tuple] = {}  # by the float32 array that stood for it
        for i in writes:
            _pairs(wide[i], args[i], targets)
        for stand_in, target in targets.values():
            target[...] = stand_in
        if not isinstance(result, tuple):
            return _narrowed(result, half, targets)
        return tuple(r if i in float32_outputs else _narrowed(r, half, targets) for i, r in enumerate(result))

    return call


def _widened(value: Any) -> Any:
    if isinstance(value, tuple):
        wide = map(_widened, value)
        return value._make(wide) if hasattr(value, "_make") else tuple(wide)
    return _convert(value, np.float32) if hasattr(value, "dtype") and is_half(value.dtype) else value


def _narrowed(value: Any, half: np.dtype, targets: dict[int, tuple]) -> Any:
    if id(value) in targets:
        return targets[id(value)][1]
    return _convert(value, half) if getattr(value, "dtype", None) == np.float32 else value


def _pairs(wide: Any, given: Any, found: dict[int, tuple]) -> None:
    if isinstance(wide, tuple):
        for one, other in zip(wide, given, strict=True):
            _pairs(one, other, found)
    elif wide is not given:
        found[id(wide)] = wide, given
