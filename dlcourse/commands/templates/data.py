"""A data set of one's own.

    dlcourse check FILE                     every property below, with numbers
    dlcourse run spirals.yaml --plugin FILE data='{name: my_data, split: {val: 0.2, test: 0.2}}'

(`dlcourse init spirals` copies that config. In a config of yours, `plugins: [FILE]` and --allow-code do the same.)

The contract: a frozen dataclass whose fields are the config's keys, with task "classification" or "regression" and
sample(seed) -> Dataset. x is (N, D) floating point, or (N, H, W, C) uint8 for images; y is (N,) int64 labels from 0, or
(N, K) floating point; every number is finite. Draws come from generator(seed, "name.purpose"), so that a seed repeats
them. Splitting, shuffling and normalizing are not done here: the config's keys split, limit and normalize do them.
Data from files: write load(seed) in place of sample(seed), read the files there, and leave Synthetic out.
"""

from dataclasses import dataclass

import numpy as np

from dlcourse.backend.random import generator
from dlcourse.data.dataset import Dataset
from dlcourse.data.synthetic import Synthetic
from dlcourse.registry import register
from dlcourse.types import Count, NonNegative


@register("data", "my_data")
@dataclass(frozen=True)
class MyData(Synthetic):
    """Two rings around each other: no line separates them.

    Args:
        samples: number of samples.
        noise: standard deviation of the radius; the rings have radius 1 and 2.
    """

    task = "classification"

    samples: Count = 400
    noise: NonNegative = 0.15

    def sample(self, seed: int) -> Dataset:
        """Draw the samples: x (N, 2), y (N,)."""
        y = np.arange(self.samples, dtype=np.int64) % 2
        angle = generator(seed, "my_data.angle").uniform(0, 2 * np.pi, self.samples)
        radius = 1 + y + self.noise * generator(seed, "my_data.noise").standard_normal(self.samples)
        x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
        return Dataset(x=x, y=y, task=self.task, target_name="ring", class_names=("inner", "outer"))
