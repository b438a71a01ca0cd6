"""Gaussian clouds on a ring: what a generative model that drops modes does not cover."""

from dataclasses import dataclass

import numpy as np

from dlcourse.backend.random import generator
from dlcourse.data.dataset import Dataset
from dlcourse.data.synthetic import Synthetic, classes_in_turn, of_classes, on_circle
from dlcourse.registry import register
from dlcourse.types import Classes, Count, NonNegative, Positive


@register("data", "gaussian_ring")
@dataclass(frozen=True)
class GaussianRing(Synthetic):
    """Small round clouds, evenly spread over a circle: a generator is to find them all   (lecture 16).

    Sample i is of cloud i mod C: N(mu, std^2) around mu = radius (cos 2 pi j / C, sin 2 pi j / C). (Metz et al. 2016,
    "Unrolled Generative Adversarial Networks".)

    Args:
        samples: number of samples.
        modes: number of clouds, C.
        radius: of the circle.
        std: standard deviation of both coordinates.
    """

    task = "classification"

    samples: Count = 10000
    modes: Classes = 8
    radius: Positive = 2.0
    std: NonNegative = 0.02

    def sample(self, seed: int) -> Dataset:
        """Draw the samples: x (N, 2), y (N,)."""
        y = classes_in_turn(self.samples, self.modes)
        x = self.radius * on_circle(2 * np.pi * y / self.modes)
        x += self.std * generator(seed, "gaussian_ring.x").standard_normal(x.shape)
        return of_classes(x, y, "cloud", self.modes)
