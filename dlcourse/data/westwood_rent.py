"""The rents of lecture 2: a line through floor areas, with noise."""

from dataclasses import dataclass

import numpy as np

from dlcourse.backend.random import generator
from dlcourse.data.dataset import Dataset
from dlcourse.data.synthetic import Synthetic, check_range, check_samples
from dlcourse.registry import register
from dlcourse.types import Count, NonNegative


@register("data", "westwood_rent")
@dataclass(frozen=True)
class WestwoodRent(Synthetic):
    """Monthly rents of flats in Westwood, made up: rent = slope area + intercept + N(0, noise^2)   (lecture 2).

    Args:
        samples: number of flats.
        slope: dollars a square foot.
        intercept: dollars.
        noise: standard deviation, dollars.
        area_range: floor areas are uniform between these, in square feet.
    """

    task = "regression"

    samples: Count = 100
    slope: float = 4.0
    intercept: float = -300.0
    noise: NonNegative = 300.0
    area_range: tuple[float, float] = (500.0, 1400.0)

    def __post_init__(self) -> None:
        check_range("area_range", self.area_range)

    def sample(self, seed: int) -> Dataset:
        """Draw the flats: x (N, 1), y (N, 1)."""
        check_samples(self.samples, 48)
        area = generator(seed, "westwood_rent.x").uniform(*self.area_range, (self.samples, 1))
        rent = self.curve(area) + self.noise * generator(seed, "westwood_rent.noise").standard_normal(area.shape)
        return Dataset(
            x=area,
            y=rent,
            task=self.task,
            feature_names=("floor area",),
            feature_units=("square feet",),
            target_name="monthly rent",
            target_unit="dollars",
            curve=self.curve,
            noise=self.noise,
            true_parameters={"slope": self.slope, "intercept": self.intercept, "sigma": self.noise},
        )

    def curve(self, area: np.ndarray) -> np.ndarray:
        """The rent without noise."""
        return self.slope * area + self.intercept
