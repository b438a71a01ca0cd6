"""The fastest of several ways to compute one thing, found by the clock: what all devices share of such a choice.

``cuda/autotune.py`` and ``cpu/autotune.py`` measure as their device is used, and say how long a choice holds.
"""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dlcourse.backend.device import Array

Candidate = Callable[[], Array]
DEFAULT = "own"

kept: dict[str, dict[str, str]] = {}
"""Choices that hold beyond this process: by the machine that they are of, the name for each key."""
following: dict[Hashable, Any] = {}
"""What their users make of them, to be found at once; emptied where choices change."""


@dataclass
class Choice:
    """What was chosen and why: milliseconds of each candidate that was timed, the reason for each that was left out."""

    name: str = DEFAULT
    milliseconds: dict[str, float] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def require_close(result: Array, expected: Array, error: float) -> None:
    """
    Raises:
        ArithmeticError: the result is further off than ``error`` of the largest element; so is one that is no number.
    """
    result, expected = (a.astype(np.promote_types(a.dtype, np.float32)) for a in (result, expected))
    largest, off = float(abs(expected).max()), float(abs(result - expected).max())
    if not off <= error * largest:
        raise ArithmeticError(f"off by {off:.3g} where the largest is {largest:.3g}")


def record() -> dict[str, dict[str, str]]:
    """The choices that a later process has to make too for the same bits; plain JSON, for a checkpoint."""
    return {machine: dict(names) for machine, names in kept.items()}


def adopt(recorded: Mapping[str, Mapping[str, str]]) -> None:
    """Choose what an earlier process on this machine chose."""
    for machine, names in recorded.items():
        kept.setdefault(machine, {}).update(names)
    following.clear()
