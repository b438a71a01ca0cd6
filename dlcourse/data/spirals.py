"""Classes that wind around each other: no line separates them, a small net does."""

from dataclasses import dataclass

import numpy as np

from dlcourse.backend.random import generator
from dlcourse.data.dataset import Dataset
from dlcourse.data.synthetic import Synthetic, classes_in_turn, of_classes, on_circle
from dlcourse.registry import register
from dlcourse.types import Classes, Count, NonNegative, Positive


@register("data", "spirals")
@dataclass(frozen=True)
class Spirals(Synthetic):
    """Arms that wind around a common center, one a class: no line separates them.

    Sample i lies on arm i mod C at radius r ~ sqrt(U(0, 1)), angle 2 pi (turns r + arm / C), plus N(0, noise^2).

    Args:
        samples: number of samples.
        classes: number of arms, C.
        turns: how often an arm winds around the center.
        noise: standard deviation of both coordinates; the spirals have radius 1.
    """

    task = "classification"

    samples: Count = 600
    classes: Classes = 3
    turns: Positive = 1.0
    noise: NonNegative = 0.03

    def sample(self, seed: int) -> Dataset:
        """Draw the samples: x (N, 2), y (N,)."""
        y = classes_in_turn(self.samples, self.classes)
        # The square root spreads the samples evenly over the disc.
        radius = np.sqrt(generator(seed, "spirals.radius").uniform(size=self.samples))
        angle = 2 * np.pi * (self.turns * radius + y / self.classes)
        x = radius[:, None] * on_circle(angle)
        x += self.noise * generator(seed, "spirals.noise").standard_normal(x.shape)
        return of_classes(x, y, "arm", self.classes)
