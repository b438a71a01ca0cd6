"""A line with Gaussian noise, fitted by maximum likelihood: the line is least squares', and sigma comes with it."""

import warnings

import numpy as np

from dlcourse import backend
from dlcourse.autograd import Parameter, Tensor, as_tensor
from dlcourse.backend.device import Array
from dlcourse.backend.linalg import RankDeficientWarning, cancellation, least_squares
from dlcourse.errors import UserError
from dlcourse.models.base import Model, Scaling, flat, named_by_output
from dlcourse.models.linear import in_raw_units, line_estimates
from dlcourse.nn import init
from dlcourse.ops.algebra import broadcast_to
from dlcourse.ops.linear import concatenate, linear
from dlcourse.registry import register

__all__ = ["GaussianRegression"]

_LOST = 1e-3
"""The share of the squared error that rounding in the model's own type may add to it."""


@register("model", "gaussian_regression")
class GaussianRegression(Model):
    """y ~ N(A x + b, sigma^2), each target with a sigma of its own (lecture 2).

    The negative log-likelihood 1/N sum [log sigma + (y - A x - b)^2 / (2 sigma^2)] + const is smallest where A and b
    are least squares', whatever sigma, and sigma^2 = 1/N sum (y - A x - b)^2. ``optimizer: closed_form`` takes that;
    gradient descent on the loss gaussian_nll comes to the same.

    Inside, inputs and targets are standardized by the training split, so that a learning rate does not depend on their
    units: with z = (x - mean) / sd the parameters give (y - mean) / sd = weight z + bias, and exp(log_sigma).

    Outputs are (N, 2 K): the means, then the logarithms of sigma, in the target's unit.

    Args:
        in_shape: shape of one input, D numbers in all.
        out_features: K, width of the target.

    Attributes:
        weight, bias, log_sigma: (K, D), (K,), (K,), zeros at first: the best constant once :meth:`adapt` was called.
    """

    tasks = ("regression",)
    fits_in_float64 = True

    x_mean: Array
    x_sd: Array
    y_mean: Array
    y_sd: Array

    def __init__(self, in_shape: tuple[int, ...], out_features: int):
        super().__init__(in_shape, out_features)
        self.weight = Parameter(init.zeros((self.out_features, self.in_features)))
        self.bias = Parameter(init.zeros((self.out_features,)))
        self.log_sigma = Parameter(init.zeros((self.out_features,)))
        for name, width in (("x", self.in_features), ("y", self.out_features)):
            self.register_buffer(f"{name}_mean", np.zeros(width, dtype=np.float32))
            self.register_buffer(f"{name}_sd", np.ones(width, dtype=np.float32))

    def adapt(self, x: Array, y: Array) -> None:
        """Take mean and standard deviation of inputs and targets; one without spread is not scaled.

        Raises:
            UserError: the targets are class labels.
        """
        if y.ndim != 2:
            raise UserError("gaussian_regression predicts numbers, but these data have class labels")
        xp = backend.array_module(x)
        for array, mean, sd in ((flat(x), self.x_mean, self.x_sd), (y, self.y_mean, self.y_sd)):
            precise = array.astype(np.float64)
            spread = precise.std(axis=0)
            mean[...] = precise.mean(axis=0)
            sd[...] = xp.where(spread > 0, spread, 1)

    def forward(self, x: Tensor) -> Tensor:
        z = (as_tensor(x).flatten(1) - self.x_mean) / self.x_sd
        mean = linear(z, self.weight, self.bias) * self.y_sd + self.y_mean  # (N, K)
        log_sigma = self.log_sigma + backend.array_module(self.y_sd).log(self.y_sd)  # (K,)
        return concatenate([mean, broadcast_to(log_sigma, mean.shape)], axis=1)

    def fit(self, x: Array, y: Array) -> None:
        """Maximum likelihood.

        Raises:
            UserError: the line goes through every target, so that the likelihood has no maximum.
        """
        xp = backend.array_module(x)
        rows = flat(x).astype(np.float64)
        # Not the buffers: what rounding in the model's type leaves of dependent columns would count as information.
        mean, sd = rows.mean(axis=0), rows.std(axis=0)
        sd = xp.where(sd > 0, sd, 1)
        z = (rows - mean) / sd
        goal = (y.astype(np.float64) - self.y_mean) / self.y_sd
        design = xp.concatenate([z, xp.ones((len(z), 1))], axis=1)
        theta = self._held(least_squares(design, goal), design, goal)
        residuals = goal - design @ theta
        sigma = xp.sqrt((residuals * residuals).mean(axis=0))
        if bool((sigma <= 1e-12 * xp.abs(goal).max()).any()):
            raise UserError(
                f"gaussian_regression: the fit goes through all {len(z)} training targets, so sigma would be 0 and the "
                "likelihood infinite; it needs more samples than coefficients, and noise"
            )
        self.weight.data[...] = (theta[:-1] * (self.x_sd / sd)[:, None]).T
        self.bias.data[...] = theta[-1] + ((self.x_mean - mean) / sd) @ theta[:-1]
        self.log_sigma.data[...] = xp.log(sigma)

    def _held(self, theta: Array, design: Array, goal: Array) -> Array:
        """The solution, or a smaller one where its coefficients cancel to more digits than the model's type has.

        Args:
            theta: of least squares, (D + 1, K), in float64 as the others.
            design: inputs of mean 0 and standard deviation 1, and ones, (N, D + 1).
            goal: the targets, (N, K).
        """
        eps = float(np.finfo(self.weight.dtype).eps)
        residuals = goal - design @ theta
        added = (eps * abs(theta).sum(axis=0)) ** 2
        if self.weight.dtype == np.float64 or not bool((added > _LOST * (residuals * residuals).mean(axis=0)).any()):
            return theta
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RankDeficientWarning)
            smaller = least_squares(design, goal, method="svd", rtol=100 * eps)
        if float(abs(smaller).max()) >= 0.5 * float(abs(theta).max()):
            return theta
        warnings.warn(cancellation(self.weight.dtype), RankDeficientWarning, stacklevel=5)
        return smaller

    def estimates(self, normalizer: Scaling | None = None) -> dict[str, float]:
        """``slope`` (of several features ``slope[Size]``, ...), ``intercept``, ``sigma``; none beyond 20 features."""
        if self.in_features > 20:
            return {}
        x_mean, x_sd, y_mean, y_sd = (
            backend.to_host(a).astype(np.float64) for a in (self.x_mean, self.x_sd, self.y_mean, self.y_sd)
        )
        weight, bias, log_sigma = (p.numpy().astype(np.float64) for p in (self.weight, self.bias, self.log_sigma))
        slopes, intercepts = in_raw_units(weight, bias, x_mean, x_sd)
        slopes, intercepts = slopes * y_sd[:, None], intercepts * y_sd + y_mean
        slopes, intercepts = in_raw_units(slopes, intercepts, *self.raw_scaling(normalizer))
        slopes, intercepts = self.in_raw_targets(slopes, intercepts)
        sigmas = np.exp(log_sigma) * y_sd * (1 if self.target_scaling is None else self.target_scaling.scale)
        names = self.per_input("slope")
        return named_by_output(
            [
                {**line_estimates(names, slope, intercept), "sigma": float(sigma)}
                for slope, intercept, sigma in zip(slopes, intercepts, sigmas, strict=True)
            ],
            self.target_names,
        )
