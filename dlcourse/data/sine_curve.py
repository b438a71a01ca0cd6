"""A curve of sine waves with noise: what a line and low polynomials cannot follow, and one hidden layer can."""

from dataclasses import dataclass

import numpy as np

from dlcourse.backend.random import generator
from dlcourse.data.dataset import Dataset
from dlcourse.data.synthetic import Synthetic, check_range, check_samples
from dlcourse.errors import ConfigError
from dlcourse.registry import register
from dlcourse.types import Count, NonNegative, Positive


@register("data", "sine_curve")
@dataclass(frozen=True)
class SineCurve(Synthetic):
    """y = sum_k a_k sin(2 pi f_k x) + N(0, noise^2), x uniform.

    The first n samples are the same whatever the number of samples.

    Args:
        frequencies: f, in waves for each unit of x.
        amplitudes: a, one for each frequency; all 1 if left out.
        noise: standard deviation.
        samples: number of samples.
        x_range: x is uniform between these.
    """

    task = "regression"

    frequencies: tuple[Positive, ...] = (1.0, 3.0)
    amplitudes: tuple[float, ...] | None = None
    noise: NonNegative = 0.05
    samples: Count = 200
    x_range: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        if not len(self.frequencies):
            raise ConfigError("data.frequencies: expected at least one number")
        if self.amplitudes is not None and len(self.amplitudes) != len(self.frequencies):
            raise ConfigError(
                f"data.amplitudes: expected one for each of the {len(self.frequencies)} frequencies, got "
                f"{len(self.amplitudes)}"
            )
        check_range("x_range", self.x_range)

    def sample(self, seed: int) -> Dataset:
        """Draw the samples: x (N, 1), y (N, 1)."""
        check_samples(self.samples, 64)
        x = generator(seed, "sine_curve.x").uniform(*self.x_range, (self.samples, 1))
        noise = generator(seed, "sine_curve.noise").standard_normal((self.samples, 1))
        y = self.curve(x) + self.noise * noise
        return Dataset(x=x, y=y, task=self.task, curve=self.curve, noise=self.noise)

    def curve(self, x: np.ndarray) -> np.ndarray:
        """The waves without noise."""
        amplitudes = self.amplitudes or (1.0,) * len(self.frequencies)
        y = np.zeros_like(x)
        for amplitude, frequency in zip(amplitudes, self.frequencies, strict=True):
            y += amplitude * np.sin(2 * np.pi * frequency * x)
        return y
