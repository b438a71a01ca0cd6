"""The multivariate normal distribution."""

import math

from dlcourse.autograd import Function, Tensor, apply
from dlcourse.autograd.function import xp_of
from dlcourse.backend.device import Array
from dlcourse.errors import ShapeError

__all__ = ["gaussian_log_density"]


class GaussianLogDensity(Function):
    """log N(x; mu_c, S_c) = -1/2 |z|^2 - sum_i log |L_ii| - D/2 log 2 pi, with S = L L^T and L z = x - mu.

    With a = L^-T z = S^-1 (x - mu), and w = dy summed where a density is shared:
    dx = -w a, dmu = w a, dL = the lower triangle of w (a z^T - diag(1 / L_ii)).

    Shapes: x (N, D), mu (C, D), L (C, D, D), or (1, D, D) for one covariance for all, y (N, C). Only L's lower triangle
    is read. Solving with the triangular factor needs no inverse, and rounds by the root of S's condition. (Lecture 2.)
    """

    compute_in_float32 = True

    def forward(self, x: Array, means: Array, factors: Array) -> Array:
        if (
            x.ndim != 2
            or means.shape[1:] != x.shape[1:]
            or factors.shape
            not in (
                (len(means), *2 * x.shape[1:]),
                (1, *2 * x.shape[1:]),
            )
        ):
            raise ShapeError(
                "gaussian_log_density: expected x (N, D), means (C, D), factors (C or 1, D, D), "
                f"got {x.shape}, {means.shape}, {factors.shape}"
            )
        xp = xp_of(x)
        self.factors = xp.tril(factors)
        self.diagonals = xp.diagonal(self.factors, axis1=1, axis2=2)  # (C or 1, D)
        self.whitened = [
            xp.linalg.solve(self._factor(c), (x - mean).T)  # z, (D, N)
            for c, mean in enumerate(means)
        ]
        squares = xp.stack([xp.sum(z * z, axis=0) for z in self.whitened], axis=1)  # (N, C)
        return -0.5 * squares - xp.log(xp.abs(self.diagonals)).sum(axis=1) - 0.5 * x.shape[1] * math.log(2 * math.pi)

    def backward(self, dout: Array) -> tuple:
        xp = xp_of(dout)
        dx, dmeans, dfactors = 0, [], xp.zeros_like(self.factors)
        for c, z in enumerate(self.whitened):
            weighted = xp.linalg.solve(self._factor(c).T, z) * dout[:, c]  # w a, (D, N)
            dx = dx - weighted.T
            dmeans.append(weighted.sum(axis=1))
            shared = c % len(self.factors)
            dfactors[shared] += xp.tril(weighted @ z.T) - xp.diag(dout[:, c].sum() / self.diagonals[shared])
        return dx, xp.stack(dmeans), dfactors

    def _factor(self, c: int) -> Array:
        return self.factors[c % len(self.factors)]


def gaussian_log_density(x: Tensor, means: Tensor, factors: Tensor) -> Tensor:
    """log N(x_n; mu_c, L_c L_c^T), (N, C), for x (N, D), means (C, D) and Cholesky factors L (C, D, D) or (1, D, D).

    Raises:
        ShapeError: the shapes do not fit.
    """
    return apply(GaussianLogDensity(), x, means, factors)
