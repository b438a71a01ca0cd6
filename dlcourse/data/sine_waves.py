"""Series to forecast, with nothing to download: sums of two sine waves under noise."""

from dataclasses import dataclass

import numpy as np

from dlcourse.backend.random import generator
from dlcourse.data.dataset import Dataset
from dlcourse.data.synthetic import Synthetic, check_samples
from dlcourse.registry import register
from dlcourse.types import Count, NonNegative


@register("data", "sine_waves")
@dataclass(frozen=True)
class SineWaves(Synthetic):
    """Series x_t = a sin(2 pi t / p + u) + b sin(2 pi t / q + v) + N(0, noise^2), whose value ``horizon`` steps later
    is the target at every step.

    Each series has amplitudes a and b in 0.5..1, periods p in 10..20 and q in 20..40 steps and phases of its own, so a
    model has to find them out from the steps so far. No forecast has a root mean squared error below ``noise``.

    Args:
        samples: number of series.
        steps: T.
        horizon: steps from an input to its target.
        noise: standard deviation of the noise on every value.
    """

    task = "regression"

    samples: Count = 1000
    steps: Count = 60
    horizon: Count = 1
    noise: NonNegative = 0.05

    def sample(self, seed: int) -> Dataset:
        """Draw the series: x (N, T, 1), y (N, T, 1)."""
        length = self.steps + self.horizon
        check_samples(self.samples, 40 * length)
        time, x = np.arange(length), np.zeros((self.samples, length))
        waves = generator(seed, "sine_waves.waves").uniform(size=(self.samples, 2, 3))  # a row a series
        for (low, high), wave in zip(((10, 20), (20, 40)), waves.transpose(1, 2, 0)[..., None], strict=True):
            amplitude, period, phase = 0.5 + 0.5 * wave[0], low + (high - low) * wave[1], wave[2]
            x += amplitude * np.sin(2 * np.pi * (time / period + phase))
        x += self.noise * generator(seed, "sine_waves.noise").standard_normal(x.shape)
        return Dataset(
            x=x[:, : self.steps, None],
            y=x[:, self.horizon :, None],
            task=self.task,
            feature_names=("value",),
            feature_units=("",),
            target_name="next value" if self.horizon == 1 else f"value {self.horizon} steps later",
            noise=self.noise,
        )
