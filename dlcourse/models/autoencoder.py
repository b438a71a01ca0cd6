"""Autoencoders: a net that has to give its inputs back through a narrow layer (lecture 16)."""

from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dlcourse import backend, nn
from dlcourse.autograd import Parameter, Tensor, as_tensor, no_grad
from dlcourse.backend import random
from dlcourse.backend.device import Array
from dlcourse.backend.precision import accumulation_dtype
from dlcourse.errors import ArgumentError, UserError
from dlcourse.models.base import Model, Scaling, flat
from dlcourse.nn import init
from dlcourse.nn.activation import ACTIVATIONS
from dlcourse.nn.initializer import initializer
from dlcourse.ops.distance_loss import mse_loss
from dlcourse.ops.likelihood_loss import binary_cross_entropy_with_logits
from dlcourse.registry import register
from dlcourse.shades import black_and_white
from dlcourse.types import Count, NonNegative

__all__ = ["PCA", "VAE", "Autoencoder"]

EXAMPLES = 10
"""Inputs that a plot shows beside what the model makes of them."""
CODES = 2000
"""Inputs of which a plot shows the code, where it has two numbers."""
PLANE = 20
"""Codes along each axis of the picture of a plane."""

if TYPE_CHECKING:
    ActivationName = str
else:
    ActivationName = Literal[tuple(ACTIVATIONS)]


def _wide(x: Tensor) -> Tensor:
    """Out of half precision, in which sums over all pixels overflow."""
    return x.to(dtype=accumulation_dtype(x.dtype))


class Reconstruction(Model):
    """Base of models with ``encode``, inputs to codes (N, latent), and ``decode``, codes to inputs (N, *in_shape)."""

    latent: int

    def encode(self, x: Tensor) -> Tensor:
        """The codes (N, latent) of inputs (N, *in_shape)."""
        raise NotImplementedError

    def decode(self, codes: Tensor) -> Tensor:
        """Inputs (N, *in_shape) from codes (N, latent)."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(as_tensor(x)))

    def objective(self, x: Tensor, y: Array, step: Any) -> Tensor:
        return mse_loss(_wide(self(x)), _wide(x))

    def example_arrays(self, x: Array, y: Array, normalizer: Scaling | None = None) -> dict[str, np.ndarray]:
        """``originals`` and ``reconstructions``, images in 0..1, others in the data's own units; of two latent numbers
        also ``codes`` (M, 2) and ``code_labels``."""
        some = Tensor(x[:EXAMPLES])
        pair = np.stack([_wide(some).numpy(), _wide(self(some)).numpy()])
        if normalizer is not None:
            pair = pair * normalizer.scale + normalizer.shift
        originals, reconstructions = (_shades(pair) if len(self.in_shape) == 3 else pair).astype("float32")
        arrays = {"originals": originals, "reconstructions": reconstructions}
        if self.latent == 2:
            arrays["codes"] = _wide(self.encode(Tensor(x[:CODES]))).numpy()
            arrays["code_labels"] = backend.to_host(y[:CODES])
        return arrays


def _shades(pair: np.ndarray) -> np.ndarray:
    """Images and their reconstructions (2, N, H, W, C) with black and white of the images as 0 and 1."""
    black, white = black_and_white(pair[0].min(), pair[0].max())
    return (pair - black) / (white - black)


@register("model", "pca")
class PCA(Reconstruction):
    """Principal components: of all projections to ``latent`` dimensions the one with the least squared error.

        x^ = m + W W^T (x - m),    W (D, latent): the leading eigenvectors of the covariance of the inputs

    ``optimizer: closed_form`` finds it. The objective is the mean squared error, as of :class:`Autoencoder`.

    Args:
        in_shape: shape of one input, D numbers in all.
        out_features: of the data; not looked at.
        latent: how many components.
    Attributes:
        mean: m, (D,).
        components: W^T, (latent, D), with orthonormal rows.
    Raises:
        ArgumentError: there are more components than numbers in an input.
    """

    fits_in_float64 = True
    objective_units = {"loss": ""}

    def __init__(self, in_shape: tuple[int, ...], out_features: int, latent: Count):
        super().__init__(in_shape, out_features)
        if not 1 <= latent <= self.in_features:
            raise ArgumentError(f"pca: inputs of {self.in_features} numbers have 1 to {self.in_features} components")
        self.latent = latent
        self.mean = Parameter(init.zeros((self.in_features,)))
        self.components = Parameter(init.zeros((latent, self.in_features)))

    def fit(self, x: Array, y: Array) -> None:
        rows = flat(x).astype(np.float64)
        xp = backend.array_module(rows)
        mean = rows.mean(axis=0)
        centered = rows - mean
        _, vectors = xp.linalg.eigh(centered.T @ centered)  # the largest last
        self.mean.data[...] = mean
        self.components.data[...] = vectors[:, ::-1][:, : self.latent].T

    def encode(self, x: Tensor) -> Tensor:
        return (x.flatten(1) - self.mean) @ self.components.T

    def decode(self, codes: Tensor) -> Tensor:
        return (codes @ self.components + self.mean).reshape(-1, *self.in_shape)


def _perceptron(widths: Sequence[int], activation: str) -> nn.Sequential:
    """Linear layers of these widths with an activation between them, its initial weights made for that."""
    follows, fill = ACTIVATIONS[activation], initializer("auto").fill
    layers: list[nn.Module] = []
    for fan_in, width in zip(widths[:-2], widths[1:-1], strict=True):
        layers += [nn.Linear(fan_in, width), follows()]
        fill(layers[-2], follows.gain, follows.saturates)
    layers.append(nn.Linear(widths[-2], widths[-1]))
    fill(layers[-1], saturates=follows.saturates)
    return nn.Sequential(*layers)


@register("model", "autoencoder")
class Autoencoder(Reconstruction):
    """x^ = decoder(encoder(x)), trained to the least mean squared error (x^ - x)^2 over samples and numbers.

    Without hidden layers it is linear and finds the plane that :class:`PCA` finds (Baldi & Hornik 1989). With ``noise``
    it gets x + noise * N(0, 1) and has to give x back (denoising autoencoder, Vincent et al. 2008).

    Args:
        in_shape: shape of one input; it is flattened.
        out_features: of the data; not looked at.
        latent: width of the code.
        hidden: widths of the encoder's hidden layers; the decoder has them in the other order.
        activation: what follows each hidden layer.
        noise: standard deviation of what is added to the inputs in training.
    """

    objective_units = {"loss": ""}

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        latent: Count,
        hidden: list[Count] = [],  # noqa: B006  # never changed
        activation: ActivationName = "relu",
        noise: NonNegative = 0.0,
    ):
        super().__init__(in_shape, out_features)
        self.latent, self.noise = latent, noise
        self.encoder = _perceptron([self.in_features, *hidden, latent], activation)
        self.decoder = _perceptron([latent, *hidden[::-1], self.in_features], activation)

    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(x.flatten(1))

    def decode(self, codes: Tensor) -> Tensor:
        return self.decoder(codes).reshape(-1, *self.in_shape)

    def objective(self, x: Tensor, y: Array, step: Any) -> Tensor:
        if not (self.noise and self.training):
            return super().objective(x, y, step)
        drawn = Tensor(random.normal(x.shape, "autoencoder/noise", step)).to(dtype=x.dtype)
        return mse_loss(_wide(self(x + self.noise * drawn)), _wide(x))


@register("model", "vae")
class VAE(Reconstruction):
    """The variational autoencoder: a code is drawn, and -ELBO, in nats an input, is the least code length found.

        q(z | x) = N(mu(x), sigma(x)^2),   z = mu + sigma e,   e ~ N(0, 1)
        loss = -sum_d log p(x_d | z) + beta KL(q(z | x) || N(0, 1))
        KL = 1/2 sum_j (mu_j^2 + sigma_j^2 - 1 - log sigma_j^2)

    With x_d in 0..1 taken as a probability, -log p is the cross-entropy of x_d with the decoder's sigmoid. (Kingma &
    Welling 2014; beta other than 1: Higgins et al. 2017.)

    Args:
        in_shape: shape of one input in 0..1 (``data.normalize: minmax``); it is flattened.
        out_features: of the data; not looked at.
        latent: width of the code.
        hidden: widths of the encoder's hidden layers; the decoder has them in the other order.
        activation: what follows each hidden layer.
        beta: the weight of KL.
    Raises:
        UserError: inputs are not in 0..1.
    """

    objective_units = {"loss": "nats", "reconstruction": "nats", "kl": "nats"}

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        latent: Count,
        hidden: list[Count] = [400],  # noqa: B006  # never changed
        activation: ActivationName = "relu",
        beta: NonNegative = 1.0,
    ):
        super().__init__(in_shape, out_features)
        self.latent, self.beta = latent, beta
        self.encoder = _perceptron([self.in_features, *hidden, 2 * latent], activation)
        self.decoder = _perceptron([latent, *hidden[::-1], self.in_features], activation)

    def adapt(self, x: Array, y: Array) -> None:
        low, high = float(x.min()), float(x.max())
        if low < 0 or high > 1:
            raise UserError(f"vae: takes inputs in 0..1, got {low:g} to {high:g}; data.normalize: minmax scales them")

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """mu and log sigma^2 of q(z | x), (N, latent) each."""
        return self.encoder(x.flatten(1)).chunk(2, dim=1)

    def encode(self, x: Tensor) -> Tensor:
        return self.posterior(x)[0]

    def decode(self, codes: Tensor) -> Tensor:
        return self.decoder(codes).sigmoid().reshape(-1, *self.in_shape)

    def objective(self, x: Tensor, y: Array, step: Any) -> Tensor:
        return self.objective_values(x, y, step)["loss"]

    def objective_values(self, x: Tensor, y: Array, step: Any) -> dict[str, Tensor]:
        mean, log_variance = map(_wide, self.posterior(x))
        code = mean + (log_variance / 2).exp() * Tensor(random.normal(mean.shape, "vae/code", step))
        logits = _wide(self.decoder(code.to(dtype=x.dtype)))
        cost = binary_cross_entropy_with_logits(logits, _wide(x.flatten(1)), reduction="sum") / len(x)
        kl = (mean * mean + log_variance.exp() - 1 - log_variance).sum() / (2 * len(x))
        return {"loss": cost + self.beta * kl, "reconstruction": cost, "kl": kl}

    def plot_arrays(self, normalizer: Scaling | None = None) -> dict[str, np.ndarray]:
        """Of two latent numbers ``latent_plane`` (20, 20, *in_shape): the decoded codes at the quantiles of N(0, 1),
        the second number upwards."""
        if self.latent != 2:
            return {}
        across = [NormalDist().inv_cdf((place + 0.5) / PLANE) for place in range(PLANE)]
        plane = np.stack(np.meshgrid(across, across[::-1]), axis=-1)
        images = self._decoded(plane.reshape(-1, 2)).numpy()
        return {"latent_plane": images.reshape(PLANE, PLANE, *self.in_shape)}

    def generate(self, count: int, seed: int = 0) -> Tensor:
        """Decoded codes drawn from N(0, 1)."""
        return self._decoded(random.generator(seed, "vae/sample").standard_normal((count, self.latent)))

    def _decoded(self, codes: np.ndarray) -> Tensor:
        weight = next(self.parameters()).data
        with no_grad():
            return _wide(self.decode(Tensor(backend.of(weight).asarray(codes.astype(weight.dtype)))))
