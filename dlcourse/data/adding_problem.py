"""The adding problem: two marked numbers of a long sequence are to be added, so the net has to remember."""

from dataclasses import dataclass

import numpy as np

from dlcourse.backend.random import generator
from dlcourse.data.dataset import Dataset
from dlcourse.data.synthetic import Synthetic, check_samples
from dlcourse.errors import ConfigError
from dlcourse.registry import register
from dlcourse.types import Count


@register("data", "adding_problem")
@dataclass(frozen=True)
class AddingProblem(Synthetic):
    """Series of T steps of a number in U(0, 1) and a mark; the target is the sum of the two numbers whose mark is 1.

    One mark lies in each half of the series. Always answering 1 has the mean squared error 1/6. (Hochreiter &
    Schmidhuber 1997; in this form Le, Jaitly and Hinton 2015.)

    Args:
        samples: number of series.
        steps: T, at least 2.
    """

    task = "regression"

    samples: Count = 4000
    steps: Count = 50

    def __post_init__(self) -> None:
        if self.steps < 2:
            raise ConfigError("data.steps: two numbers to add take at least 2 steps, got 1")

    def sample(self, seed: int) -> Dataset:
        """Draw the series: x (N, T, 2), y (N, 1)."""
        check_samples(self.samples, 32 * self.steps)
        rows, half = np.arange(self.samples), self.steps // 2
        x = np.zeros((self.samples, self.steps, 2))
        x[:, :, 0] = generator(seed, "adding_problem.numbers").uniform(size=x.shape[:2])
        first = generator(seed, "adding_problem.first").integers(half, size=self.samples)
        second = generator(seed, "adding_problem.second").integers(half, self.steps, self.samples)
        x[rows, first, 1] = x[rows, second, 1] = 1
        y = x[rows, first, 0] + x[rows, second, 0]
        names = ("number", "mark")
        return Dataset(x, y[:, None], self.task, feature_names=names, feature_units=("", ""), target_name="sum")
