"""Samples of one Gaussian: what estimators of its mean and variance are judged on."""

from dataclasses import dataclass

from dlcourse.backend.random import generator
from dlcourse.data.dataset import Dataset
from dlcourse.data.synthetic import Synthetic, check_samples
from dlcourse.registry import register
from dlcourse.types import Count, Positive


@register("data", "gaussian_samples")
@dataclass(frozen=True)
class GaussianSamples(Synthetic):
    """Samples of one Gaussian, x_1 ... x_m ~ N(mean, sigma^2)   (lecture 2: bias and variance of estimators).

    Args:
        samples: m.
        mean: the true mean.
        sigma: the true standard deviation.
    """

    task = "estimation"

    samples: Count = 10
    mean: float = 0.0
    sigma: Positive = 1.0

    def sample(self, seed: int) -> Dataset:
        """Draw the samples: x and y are both of them, (m, 1)."""
        check_samples(self.samples, 24)
        x = self.mean + self.sigma * generator(seed, "gaussian_samples").standard_normal((self.samples, 1))
        return Dataset(
            x=x,
            y=x,
            task=self.task,
            target_name="x",
            noise=self.sigma,
            true_parameters={"mean": self.mean, "sigma": self.sigma, "variance": self.sigma**2},
        )
