"""Arguments of a graded function, as an assignment gives them: numbers, lists, and arrays that are drawn."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from dlcourse.errors import ConfigError, Problem

_DRAWN = ("normal", "uniform", "integers", "zeros", "ones")
_ALSO = {"normal": ("seed", "scale"), "uniform": ("seed", "low", "high"), "integers": ("seed", "below")}


def make_arguments(given: Mapping[str, Any]) -> dict[str, np.ndarray | int | float | str | bool | None]:
    """Each argument: a list as an array, a mapping as an array that is drawn; numbers and texts as they are.

    Raises:
        ConfigError: at the argument's name, what is wrong with it.
    """
    found = {}
    for name, value in given.items():
        try:
            found[name] = _make(value)
        except ValueError as error:
            raise ConfigError([Problem(name, str(error))]) from None
    return found


def _make(value: Any) -> Any:
    if isinstance(value, list):
        array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            raise ValueError(f"expected numbers in lists of equal lengths, got {value!r}")
        return array
    return _draw(value) if isinstance(value, Mapping) else value


def _draw(spec: Mapping[str, Any]) -> np.ndarray:
    kinds = [kind for kind in _DRAWN if kind in spec]
    if len(kinds) != 1:
        raise ValueError(f"expected one of {', '.join(_DRAWN)} with a shape, such as {{normal: [5, 3]}}, got {spec!r}")
    kind, allowed = kinds[0], _ALSO.get(kinds[0], ())
    strange = [key for key in spec if key != kind and key not in allowed]
    if strange:
        raise ValueError(f"{kind} has no key {strange[0]!r}; beside the shape: {', '.join(allowed) or 'none'}")
    shape = spec[kind]
    if not isinstance(shape, list) or not all(isinstance(size, int) and size >= 0 for size in shape):
        raise ValueError(f"{kind}: expected a shape, a list of whole numbers, got {shape!r}")
    if np.prod(shape, dtype=float) > _MOST:
        raise ValueError(f"{kind}: more than {_MOST:,} numbers")
    rng = np.random.Generator(np.random.Philox(int(spec.get("seed", 0))))
    if kind == "normal":
        return float(spec.get("scale", 1.0)) * rng.standard_normal(shape)
    if kind == "uniform":
        return rng.uniform(float(spec.get("low", 0.0)), float(spec.get("high", 1.0)), shape)
    if kind == "integers":
        if not isinstance(spec.get("below"), int) or spec["below"] < 1:
            raise ValueError("integers: expected below, a whole number of at least 1")
        return rng.integers(0, spec["below"], shape)
    return np.zeros(shape) if kind == "zeros" else np.ones(shape)


_MOST = 10_000_000
