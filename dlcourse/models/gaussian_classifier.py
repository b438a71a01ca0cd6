"""Maximum-likelihood classification: one Gaussian a class, and Bayes' rule (lecture 2)."""

import math
from typing import Literal

import numpy as np

from dlcourse import backend
from dlcourse.autograd import Parameter, Tensor, as_tensor
from dlcourse.backend.device import Array
from dlcourse.errors import ArgumentError, UserError
from dlcourse.models.base import Model, Scaling, flat
from dlcourse.nn import init
from dlcourse.ops.gaussian import gaussian_log_density
from dlcourse.ops.softmax import log_softmax
from dlcourse.registry import register
from dlcourse.types import NonNegative

__all__ = ["GaussianClassifier"]


@register("model", "gaussian_classifier")
class GaussianClassifier(Model):
    """p(x, class c) = prior_c N(x; mu_c, S_c); the outputs are log p(x, c), so softmax gives the posterior P(c | x).

    ``optimizer: closed_form`` takes the maximum-likelihood estimates from the N_c samples of each class:

        prior_c = N_c / N,  mu_c = 1/N_c sum x,  S_c = 1/N_c sum (x - mu_c)(x - mu_c)^T

    Full covariances make the boundary between two classes a quadric, a shared one (S = sum_c N_c/N S_c) a plane,
    diagonal ones are naive Bayes'. The covariance is kept as its Cholesky factor L, S = L L^T: where A = Q R holds a
    class's centered samples, L = R^T / sqrt(N_c), so neither S nor an inverse is formed. The same parameters can be
    trained by gradient descent on cross_entropy, then for P(c | x) alone.

    Args:
        in_shape: shape of one input, D numbers in all.
        out_features: C, number of classes.
        covariance: ``full``: one a class; ``shared``: one for all; ``diagonal``: variances for each class.
        priors: ``learned``, or ``equal``: 1 / C.
        regularization: added to the variances (S + regularization I), for classes with fewer samples than features.

    Attributes:
        means: mu, (C, D).
        factors: L, (C, D, D), shared (1, D, D), or diagonal: standard deviations (C, D).
        prior_logits: log priors up to a constant, (C,), if learned.
    Raises:
        ArgumentError: ``covariance`` or ``priors`` is none of these, or ``regularization`` negative.
    """

    tasks = ("classification",)
    fits_in_float64 = True

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        covariance: Literal["full", "shared", "diagonal"] = "full",
        priors: Literal["learned", "equal"] = "learned",
        regularization: NonNegative = 0.0,
    ):
        if covariance not in ("full", "shared", "diagonal") or priors not in ("learned", "equal") or regularization < 0:
            raise ArgumentError(
                "covariance is full, shared or diagonal, priors are learned or equal, regularization is at least 0; "
                f"got {covariance!r}, {priors!r}, {regularization}"
            )
        super().__init__(in_shape, out_features)
        self.covariance, self.regularization = covariance, regularization
        classes, width = self.out_features, self.in_features
        self.means = Parameter(init.zeros((classes, width)))
        if covariance == "diagonal":
            self.factors = Parameter(init.constant((classes, width), 1.0))
        else:
            copies = 1 if covariance == "shared" else classes
            self.factors = Parameter(init.constant((copies, 1, 1), 1.0) * init.identity((width, width)))
        self.prior_logits = Parameter(init.zeros((classes,))) if priors == "learned" else None

    def forward(self, x: Tensor) -> Tensor:
        """log p(x, c), (N, C)."""
        rows = as_tensor(x).flatten(1)
        if self.covariance == "diagonal":
            z = (rows.reshape(-1, 1, self.in_features) - self.means) / self.factors  # (N, C, D)
            constants = self.factors.abs().log().sum(axis=1) + 0.5 * self.in_features * math.log(2 * math.pi)
            densities = (z * z).sum(axis=2) * -0.5 - constants
        else:
            densities = gaussian_log_density(rows, self.means, self.factors)
        if self.prior_logits is None:
            return densities - math.log(self.out_features)
        return densities + log_softmax(self.prior_logits)

    def fit(self, x: Array, y: Array) -> None:
        """Maximum likelihood.

        Raises:
            UserError: the targets are no class labels, a class has no sample, or a covariance is singular.
        """
        if y.dtype.kind not in "iu":
            raise UserError("gaussian_classifier needs class labels, but the targets of these data are numbers")
        xp = backend.array_module(x)
        rows = flat(x).astype(np.float64)
        counts = np.bincount(backend.to_host(y), minlength=self.out_features)
        if not counts.all():
            raise UserError(f"gaussian_classifier: class {int(counts.argmin())} has no sample in the training split")
        members = [rows[xp.flatnonzero(y == c)] for c in range(self.out_features)]
        means = [group.mean(axis=0) for group in members]
        centered = [group - mean for group, mean in zip(members, means, strict=True)]
        if self.covariance == "shared":
            centered = [xp.concatenate(centered)]
        if self.covariance == "diagonal":
            factors = [xp.sqrt((group * group).mean(axis=0) + self.regularization) for group in centered]
        else:
            factors = [self._cholesky(group) for group in centered]
        # What rounding alone can leave of a spread: of the raw inputs' size, in the model's precision or their own.
        noise = 100 * max(float(np.finfo(d).eps) for d in (self.means.dtype, x.dtype) if d.kind == "f")
        floor = noise * xp.sqrt((rows * rows).mean(axis=0))
        for c, factor in enumerate(factors):
            self._check_regular(c, factor, noise, floor, len(centered[c]))
        self.means.data[...] = xp.stack(means)
        self.factors.data[...] = xp.stack(factors)
        if self.prior_logits is not None:
            self.prior_logits.data[...] = xp.log(xp.asarray(counts / counts.sum()))

    def _cholesky(self, centered: Array) -> Array:
        """L with L L^T = A^T A / N + regularization I, from the R of A's QR; L's diagonal is positive."""
        xp = backend.array_module(centered)
        count, width = centered.shape
        if self.regularization:
            extra = (count * self.regularization) ** 0.5 * xp.eye(width)
            centered = xp.concatenate([centered, extra])
        elif count < width:
            centered = xp.concatenate([centered, xp.zeros((width - count, width))])
        factor = xp.linalg.qr(centered, mode="r").T / count**0.5
        return factor * xp.where(xp.diagonal(factor) < 0, -1.0, 1.0)

    def _check_regular(self, c: int, factor: Array, noise: float, floor: Array, samples: int) -> None:
        """Raise UserError where an input's spread, or what those before it leave of it, is no more than rounding."""
        xp = backend.array_module(factor)
        spread = factor if factor.ndim == 1 else xp.sqrt((factor * factor).sum(axis=1))
        own = factor if factor.ndim == 1 else xp.diagonal(factor)
        singular = (spread <= floor) | (own <= noise * spread)
        if bool(singular.any()):
            which = "the shared covariance" if self.covariance == "shared" else f"the covariance of class {c}"
            raise UserError(
                f"gaussian_classifier: {which} is singular: {samples} samples, {self.in_features} features, and input "
                f"{int(xp.argmax(singular))} does not vary, or follows from those before it. Leave it out, or take "
                "model.covariance=shared or diagonal, or model.regularization above 0"
            )

    def covariances(self) -> np.ndarray:
        """S_c, (C, D, D), on the host in float64, in the model's units."""
        factors = self.factors.numpy().astype(np.float64)
        if self.covariance == "diagonal":
            return np.einsum("cd,de->cde", factors**2, np.eye(self.in_features))
        lower = np.tril(factors)
        return np.broadcast_to(lower @ lower.swapaxes(1, 2), (self.out_features, *lower.shape[1:]))

    def priors(self) -> np.ndarray:
        """P(class c), (C,), on the host in float64."""
        if self.prior_logits is None:
            return np.full(self.out_features, 1 / self.out_features)
        logits = self.prior_logits.numpy().astype(np.float64)
        shares = np.exp(logits - logits.max())
        return shares / shares.sum()

    def estimates(self, normalizer: Scaling | None = None) -> dict[str, float]:
        """``prior_c``, ``mean_c_i``, ``covariance_c_ij``, classes and inputs from 0; for up to 3 inputs, 10 classes."""
        if self.in_features > 3 or self.out_features > 10:
            return {}
        means, covariances = self._raw(normalizer)
        named = {}
        for c, prior in enumerate(self.priors()):
            named[f"prior_{c}"] = float(prior)
            named.update({f"mean_{c}_{i}": float(value) for i, value in enumerate(means[c])})
            named.update(
                {f"covariance_{c}_{i}{j}": float(v) for i, row in enumerate(covariances[c]) for j, v in enumerate(row)}
            )
        return named

    def plot_arrays(self, normalizer: Scaling | None = None) -> dict[str, np.ndarray]:
        """For two inputs ``gaussian_means`` (C, 2) and ``gaussian_covariances`` (C, 2, 2), for ellipses."""
        if self.in_features != 2:
            return {}
        means, covariances = self._raw(normalizer)
        return {"gaussian_means": means, "gaussian_covariances": covariances}

    def _raw(self, normalizer: Scaling | None) -> tuple[np.ndarray, np.ndarray]:
        shift, scale = self.raw_scaling(normalizer)
        means = self.means.numpy().astype(np.float64) * scale + shift
        return means, self.covariances() * np.outer(scale, scale)
