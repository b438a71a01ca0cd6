"""Checks of what a signature cannot say about a data set's parameters."""

from collections.abc import Sequence

import numpy as np

from dlcourse.errors import ConfigError


def check_range(name: str, values: Sequence[float]) -> None:
    """Raise ConfigError unless the values are a lower and a higher finite bound."""
    if len(values) != 2 or not np.isfinite(values).all() or values[0] >= values[1]:
        raise ConfigError(f"data.{name}: expected two finite numbers, the lower first, got {list(values)}")
