"""Classes that wind around each other: no line separates them, a small net does."""

from dataclasses import dataclass

import numpy as np

from dlcourse.backend.random import generator
from dlcourse.data.dataset import Dataset
from dlcourse.data.synthetic import Synthetic, check_samples
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
        check_samples(self.samples, 80)
        y = np.arange(self.samples, dtype=np.int64) % self.classes
        # The square root spreads the samples evenly over the disc.
        radius = np.sqrt(generator(seed, "spirals.radius").uniform(size=self.samples))
        angle = 2 * np.pi * (self.turns * radius + y / self.classes)
        x = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        x += self.noise * generator(seed, "spirals.noise").standard_normal(x.shape)
        return Dataset(
            x=x,
            y=y,
            task=self.task,
            target_name="arm",
            class_names=tuple(f"arm {c}" for c in range(self.classes)),
        )
