"""Classes that are Gaussian clouds: where maximum-likelihood classification is exact."""

from dataclasses import dataclass

import numpy as np

from dlcourse.backend.random import generator
from dlcourse.data.dataset import Dataset
from dlcourse.data.synthetic import Synthetic, check_samples
from dlcourse.errors import ConfigError
from dlcourse.registry import register
from dlcourse.types import Count, NonNegative


@register("data", "gaussian_classes")
@dataclass(frozen=True)
class GaussianClasses(Synthetic):
    """Gaussian clouds: x | class j ~ N(mu_j, Sigma_j), class j with probability prior_j   (lecture 2).

    Of the three clouds of the default one is round and two are stretched crosswise, so that boundaries of full
    covariances bend where those of a shared one are straight and those of diagonal ones miss the tilt.

    Args:
        samples: number of samples.
        means: mu, one list of D numbers a class.
        covariances: Sigma, one D x D symmetric positive definite matrix a class.
        priors: relative frequencies of the classes; equal if left out.
    """

    task = "classification"

    samples: Count = 300
    means: tuple[tuple[float, ...], ...] = ((0.0, 0.0), (2.5, 0.5), (0.5, 3.0))
    covariances: tuple[tuple[tuple[float, ...], ...], ...] = (
        ((0.6, 0.0), (0.0, 0.6)),
        ((1.2, 0.9), (0.9, 1.2)),
        ((1.5, -0.8), (-0.8, 0.8)),
    )
    priors: tuple[NonNegative, ...] | None = None

    def __post_init__(self) -> None:
        classes = len(self.means)
        widths = {len(mean) for mean in self.means}
        if classes < 2 or len(widths) != 1 or 0 in widths:
            raise ConfigError("data.means: expected two or more lists of as many numbers each")
        width = widths.pop()
        if [[len(row) for row in matrix] for matrix in self.covariances] != [[width] * width] * classes:
            raise ConfigError(f"data.covariances: expected {classes} matrices of {width} x {width}, one for each mean")
        for j, matrix in enumerate(np.array(self.covariances, dtype=float)):
            if not np.allclose(matrix, matrix.T) or not (np.linalg.eigvalsh(matrix) > 0).all():
                raise ConfigError(f"data.covariances[{j}]: not symmetric positive definite: {matrix.tolist()}")
        if self.priors is not None and (len(self.priors) != classes or not sum(self.priors) > 0):
            raise ConfigError(f"data.priors: expected {classes} numbers, one for each mean, not all zero")

    def sample(self, seed: int) -> Dataset:
        """Draw the samples: x (N, D), y (N,)."""
        width = len(self.means[0])
        check_samples(self.samples, 16 + 8 * width * (width + 3))
        means, classes = np.array(self.means, dtype=float), len(self.means)
        priors = np.array(self.priors if self.priors is not None else [1.0] * classes)
        priors = priors / priors.sum()
        y = generator(seed, "gaussian_classes.y").choice(classes, self.samples, p=priors)
        unit = generator(seed, "gaussian_classes.x").standard_normal((self.samples, means.shape[1]))
        # If z ~ N(0, I) and Sigma = L L^T, then mu + L z ~ N(mu, Sigma).
        factors = np.linalg.cholesky(np.array(self.covariances, dtype=float))  # (C, D, D)
        x = means[y] + np.einsum("nij,nj->ni", factors[y], unit)
        return Dataset(
            x=x,
            y=y.astype(np.int64),
            task=self.task,
            feature_names=tuple(f"x{i + 1}" for i in range(means.shape[1])),
            target_name="class",
            class_names=tuple(f"class {j}" for j in range(classes)),
            true_parameters=self._true_parameters(priors),
        )

    def _true_parameters(self, priors: np.ndarray) -> dict[str, float]:
        named = {f"prior_{j}": float(prior) for j, prior in enumerate(priors)}
        named |= {f"mean_{j}_{a}": float(value) for (j, a), value in np.ndenumerate(self.means)}
        return named | {f"covariance_{j}_{a}{b}": float(v) for (j, a, b), v in np.ndenumerate(self.covariances)}
