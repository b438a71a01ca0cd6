"""The base of data sets that are drawn, and checks of their parameters that a signature cannot express."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dlcourse.backend import memory
from dlcourse.data.dataset import Dataset, Task
from dlcourse.errors import ArgumentError, ConfigError
from dlcourse.types import Seed


@dataclass(frozen=True, kw_only=True)
class Synthetic:
    """Base of a synthetic data set: a frozen dataclass with a ``task``, which draws its samples.

    Args:
        seed: draws the samples; the config's seed if left out.
    """

    task: ClassVar[Task]

    seed: Seed | None = None

    def load(self, seed: int) -> Dataset:
        """The samples by the data set's own seed, or else this one."""
        return self.sample(seed if self.seed is None else self.seed)

    def sample(self, seed: int) -> Dataset:
        """Draw the samples."""
        raise NotImplementedError


def check_samples(count: int, each: int, key: str = "samples") -> None:
    """Raise ConfigError where there is no memory for so many samples of so many bytes each."""
    try:
        memory.require(count * each, f"{count:,} samples")
    except ArgumentError as error:
        raise ConfigError(f"data.{key}: {error}") from None


def classes_in_turn(samples: int, classes: int) -> np.ndarray:
    """The class i mod C of sample i, (N,), for points on a plane.

    Raises:
        ConfigError: there is no memory for so many.
    """
    check_samples(samples, 80)
    return np.arange(samples, dtype=np.int64) % classes


def on_circle(angle: np.ndarray) -> np.ndarray:
    """The points at these angles (N,) on a circle of radius 1, (N, 2)."""
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def of_classes(x: np.ndarray, y: np.ndarray, word: str, classes: int) -> Dataset:
    """Points of classes that a word and their number name: ``arm 0``, ``arm 1``, ..."""
    names = tuple(f"{word} {number}" for number in range(classes))
    return Dataset(x=x, y=y, task="classification", target_name=word, class_names=names)


def check_range(name: str, values: Sequence[float]) -> None:
    """Raise ConfigError unless the values are a lower and a higher finite bound."""
    if len(values) != 2 or not np.isfinite(values).all() or values[0] >= values[1]:
        raise ConfigError(f"data.{name}: expected two finite numbers, the lower first, got {list(values)}")
