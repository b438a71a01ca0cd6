"""Estimators of a Gaussian's mean and variance, whose own bias and variance are the experiment (lecture 2)."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from dlcourse import backend
from dlcourse.autograd import Tensor, as_tensor
from dlcourse.backend.device import Array
from dlcourse.errors import UserError
from dlcourse.models.base import Model, Scaling
from dlcourse.registry import register

__all__ = ["GaussianEstimators"]


@register("model", "gaussian_estimators")
class GaussianEstimators(Model):
    """From samples y_1 ... y_m of N(mean, sigma^2), by ``optimizer: closed_form``:

    - ``mean``: y' = 1/m sum y_i;
    - ``variance_ml``: 1/m sum (y_i - y')^2, the maximum-likelihood estimate, which is too small on average;
    - ``variance_unbiased``: 1/(m - 1) sum (y_i - y')^2, which is not, and spreads more.

    Outputs are (N, 2), the same for every input: the mean and the logarithm of the maximum-likelihood sigma.

    Args:
        in_shape: shape of one input; inputs are not looked at.
        out_features: 1.
    Raises:
        UserError: there is more than one target.
    """

    tasks = ("estimation",)
    estimated: ClassVar[dict[str, str]] = {
        "mean": "mean",
        "variance_ml": "variance",
        "variance_unbiased": "variance",
    }
    """Which true parameter each estimator is after."""

    mean: Array
    variance_ml: Array
    variance_unbiased: Array

    def __init__(self, in_shape: tuple[int, ...], out_features: int):
        super().__init__(in_shape, out_features)
        if self.out_features != 1:
            raise UserError(f"gaussian_estimators looks at one variable, the data have {out_features}")
        self.register_buffer("mean", np.zeros(1, dtype=np.float32))
        self.register_buffer("variance_ml", np.ones(1, dtype=np.float32))
        self.register_buffer("variance_unbiased", np.ones(1, dtype=np.float32))

    def forward(self, x: Tensor) -> Tensor:
        count = len(as_tensor(x))
        xp = backend.array_module(self.mean)
        row = xp.concatenate([self.mean, 0.5 * xp.log(self.variance_ml)])
        return Tensor(xp.repeat(row[None], count, axis=0))

    def fit(self, x: Array, y: Array) -> None:
        """Estimate from the targets.

        Raises:
            UserError: fewer than two samples, or all equal.
        """
        samples = y.astype(np.float64).reshape(-1)
        if len(samples) < 2 or bool((samples == samples[0]).all()):
            raise UserError(
                f"gaussian_estimators: {len(samples)} training sample(s) without spread say nothing about a variance"
            )
        self.mean[...] = samples.mean()
        self.variance_ml[...] = samples.var()
        self.variance_unbiased[...] = samples.var(ddof=1)

    def estimates(self, normalizer: Scaling | None = None) -> dict[str, float]:
        """The three estimates."""
        return {name: float(getattr(self, name)[0]) for name in self.estimated}

    @staticmethod
    def theory(truth: Mapping[str, float], samples: int) -> dict[str, tuple[float, float]]:
        """Expectation and variance of each estimator over samples of m, for a Gaussian (Casella & Berger, section 7.3).

        E[mean] = mu,                               Var[mean] = sigma^2 / m
        E[variance_ml] = (m - 1)/m sigma^2,         Var[variance_ml] = 2 (m - 1) sigma^4 / m^2
        E[variance_unbiased] = sigma^2,             Var[variance_unbiased] = 2 sigma^4 / (m - 1)

        Args:
            truth: ``mean`` and ``variance`` of the Gaussian.
            samples: m, at least 2.
        """
        variance, m = truth["variance"], samples
        return {
            "mean": (truth["mean"], variance / m),
            "variance_ml": ((m - 1) / m * variance, 2 * (m - 1) * variance**2 / m**2),
            "variance_unbiased": (variance, 2 * variance**2 / (m - 1)),
        }
