"""Checks of a data set's parameters that a signature cannot express."""

from collections.abc import Sequence

import numpy as np

from dlcourse.backend import memory
from dlcourse.errors import ArgumentError, ConfigError


def check_samples(count: int, each: int, key: str = "samples") -> None:
    """Raise ConfigError where there is no memory for so many samples of so many bytes each."""
    try:
        memory.require(count * each, f"{count:,} samples")
    except ArgumentError as error:
        raise ConfigError(f"data.{key}: {error}") from None


def check_range(name: str, values: Sequence[float]) -> None:
    """Raise ConfigError unless the values are a lower and a higher finite bound."""
    if len(values) != 2 or not np.isfinite(values).all() or values[0] >= values[1]:
        raise ConfigError(f"data.{name}: expected two finite numbers, the lower first, got {list(values)}")
