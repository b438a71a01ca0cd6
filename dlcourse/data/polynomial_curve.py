"""A polynomial with noise, as in the first homework: where overfitting and extrapolation are seen."""

from dataclasses import dataclass

import numpy as np

from dlcourse.backend.random import generator
from dlcourse.data.dataset import Dataset
from dlcourse.data.synthetic import Synthetic, check_range, check_samples
from dlcourse.errors import ConfigError
from dlcourse.registry import register
from dlcourse.types import Count, NonNegative


@register("data", "polynomial_curve")
@dataclass(frozen=True)
class PolynomialCurve(Synthetic):
    """A noisy polynomial: y = c_0 + c_1 x + c_2 x^2 + ... + N(0, noise^2), x uniform.

    The default is the homework's, x - 2 x^2 + x^3.

    The first n samples are the same whatever the number of samples.

    Args:
        coefficients: c, lowest power first.
        noise: standard deviation.
        samples: number of samples, apart from those of ``test_range``.
        x_range: x is uniform between these.
        test_range: draw a test split from here instead; outside ``x_range`` it asks for extrapolation.
        test_samples: how many; as many as ``samples`` if left out.
    """

    task = "regression"

    coefficients: tuple[float, ...] = (0.0, 1.0, -2.0, 1.0)
    noise: NonNegative = 0.03
    samples: Count = 200
    x_range: tuple[float, float] = (0.0, 1.0)
    test_range: tuple[float, float] | None = None
    test_samples: Count | None = None

    def __post_init__(self) -> None:
        if not len(self.coefficients):
            raise ConfigError("data.coefficients: expected at least one number")
        check_range("x_range", self.x_range)
        if self.test_range is not None:
            check_range("test_range", self.test_range)
        elif self.test_samples is not None:
            raise ConfigError("data.test_samples: goes with data.test_range, which is missing")

    def sample(self, seed: int) -> Dataset:
        """Draw the samples: x (N, 1), y (N, 1)."""
        check_samples(self.samples, 64)
        check_samples(self.test_samples or 0, 64, "test_samples")
        x, y = self._split(seed, "train", self.x_range, self.samples)
        test = None
        if self.test_range is not None:
            test = self._split(seed, "test", self.test_range, self.test_samples or self.samples)
        powers = {f"theta_{power}": float(value) for power, value in enumerate(self.coefficients)}
        return Dataset(
            x=x,
            y=y,
            task=self.task,
            curve=self.curve,
            noise=self.noise,
            true_parameters={**powers, "sigma": self.noise},
            test=test,
        )

    def _split(self, seed: int, split: str, bounds: tuple[float, float], samples: int) -> tuple[np.ndarray, np.ndarray]:
        x = generator(seed, f"polynomial_curve.{split}.x").uniform(*bounds, (samples, 1))
        noise = generator(seed, f"polynomial_curve.{split}.noise").standard_normal((samples, 1))
        return x, self.curve(x) + self.noise * noise

    def curve(self, x: np.ndarray) -> np.ndarray:
        """The polynomial without noise, by Horner's rule."""
        y = np.zeros_like(x)
        for coefficient in reversed(self.coefficients):
            y = y * x + coefficient
        return y
