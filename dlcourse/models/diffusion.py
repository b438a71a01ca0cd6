"""Diffusion: a net that finds the noise in an input, and samples by taking noise away step by step (lecture 16)."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np

from dlcourse import backend
from dlcourse.autograd import Tensor, as_tensor, no_grad
from dlcourse.backend import random
from dlcourse.backend.device import Array
from dlcourse.backend.precision import accumulation_dtype
from dlcourse.errors import ArgumentError, UserError
from dlcourse.models.base import Model, Scaling
from dlcourse.models.denoiser import DenoisingMLP, UNet
from dlcourse.models.noise_schedule import NoiseSchedule, ScheduleName, check_sampler
from dlcourse.nn import Module
from dlcourse.ops.distance_loss import mse_loss
from dlcourse.registry import register
from dlcourse.types import Count, NonNegativeInt

__all__ = ["Diffusion", "SamplerName"]

SamplerName = Literal["ddpm", "ddim"]
PredictionType = Literal["epsilon", "v_prediction"]
EMBEDDED_STEPS = 1000
"""Times are brought to 0 ... 1000 before they are embedded, whatever T is."""
FEW_STEPS = 50
MAX_RATIO = 10.0
"""Of the root mean squares of inputs and noise, either way: beyond it, one hides the other at nearly all steps."""
_CHUNK = 1 << 17
"""Numbers of the samples that are drawn at once."""
SHOWN_IMAGES, SHOWN_POINTS, SHOWN_PATHS = 10, 1000, 60
LEVELS = 6
"""Steps whose inputs a plot shows, at most."""


@register("model", "diffusion")
class Diffusion(Model):
    """A net eps(x_t, t) that finds the noise e in x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) e.

        objective = mean |e - eps(x_t, t)|^2 over the batch and its numbers, t uniform in 1 ... T, e ~ N(0, 1)

    This is the simple objective of Ho et al. 2020 ("Denoising diffusion probabilistic models"); for abar see
    :class:`~dlcourse.models.noise_schedule.NoiseSchedule`. Inputs should have a mean of about 0 and a size of about 1:
    ``data.normalize: standardize``.

    With ``v_prediction`` the net finds v instead, and the objective is its error (Salimans & Ho 2022, "Progressive
    distillation for fast sampling of diffusion models"):

        v = sqrt(abar_t) e - sqrt(1 - abar_t) x_0,          eps(x_t, t) = sqrt(abar_t) v + sqrt(1 - abar_t) x_t

    Then x_0^ below is sqrt(abar_t) x_t - sqrt(1 - abar_t) v, the mean of the data where x_t is all noise. By
    ``epsilon`` an error of the net is divided by sqrt(abar_t) there: with the cosine schedule x_0^ is of no use at the
    first step, and if ``clip`` bounds it by a range that the mean is not in the middle of, samples get too bright.

    A sample begins as x_T ~ N(0, 1) and goes down a sequence of steps t > s > ... > 0:

        x_0^ = (x_t - sqrt(1 - abar_t) eps) / sqrt(abar_t)
        x_s  = sqrt(abar_s) x_0^ + sqrt(1 - abar_s - v) eps + sqrt(v) z,   z ~ N(0, 1)
        v    = eta^2 (1 - abar_s) / (1 - abar_t) (1 - abar_t / abar_s)

    ``ddpm`` is eta = 1, which samples from q(x_s | x_t, x_0^); ``ddim`` is eta = 0: only x_T is random, and few steps
    are enough (Song et al. 2021, "Denoising diffusion implicit models"). ``train.ema: 0.999`` samples with an average
    of the weights, which Ho et al. do too.

    Args:
        in_shape: shape of one input.
        out_features: of the data; not looked at.
        steps: T.
        schedule: how beta_t grows: linear (Ho et al. 2020) or cosine (Nichol & Dhariwal 2021).
        hidden: for vectors, widths of the hidden layers.
        frequencies: for vectors, how many sines and cosines of each number the net sees beside it, see
            :class:`~dlcourse.models.denoiser.DenoisingMLP`.
        channels: for images, those of each level of a U-Net, see :class:`~dlcourse.models.denoiser.UNet`.
        patch: for images, the side of the patches whose pixels are channels to the net.
        prediction_type: what the net finds, the noise or v.
        sampler: ddpm or ddim.
        sampler_steps: how many of the T steps it takes, evenly spread; left out, 50, or all where there are fewer.
        clip: whether x_0^ is kept within the range of the training data.
    Raises:
        ShapeError: the sides of an image cannot be halved as often as there are levels.
        UserError: the root mean square of the inputs is not near the noise's, 1.
    """

    no_onnx = "its net takes the step beside the input, and a file has one input"
    low: Array
    high: Array
    signal: Array
    noise: Array

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        steps: Count = 1000,
        schedule: ScheduleName = "linear",
        hidden: list[Count] = [128, 128, 128],  # noqa: B006  # never changed
        frequencies: NonNegativeInt = 0,
        channels: list[Count] = [32, 64],  # noqa: B006
        patch: Count = 1,
        prediction_type: PredictionType = "epsilon",
        sampler: SamplerName = "ddim",
        sampler_steps: Count | None = None,
        clip: bool = True,
    ):
        super().__init__(in_shape, out_features)
        self.schedule = NoiseSchedule.named(schedule, steps)
        self.steps, self.sampler, self.clip = steps, sampler, clip
        self.prediction_type = prediction_type
        self.sampler_steps = min(FEW_STEPS, steps) if sampler_steps is None else sampler_steps
        self.check_settings({"steps": steps, "sampler_steps": sampler_steps, "channels": channels})
        images = len(self.in_shape) == 3
        self.net: Module = (
            UNet(self.in_shape, channels, patch) if images else DenoisingMLP(self.in_features, hidden, frequencies)
        )
        # In float64 until the model gets its type, so that 1 - abar of the first steps is not lost.
        self.register_buffer("signal", np.sqrt(self.schedule.alpha_bar), persistent=False)
        self.register_buffer("noise", np.sqrt(1 - self.schedule.alpha_bar), persistent=False)
        self.register_buffer("low", np.full(1, -np.inf, "float32"))
        self.register_buffer("high", np.full(1, np.inf, "float32"))

    @classmethod
    def check_settings(cls, settings: Mapping[str, Any]) -> None:
        steps, taken = settings.get("steps"), settings.get("sampler_steps")
        if steps is not None and taken is not None:
            check_sampler(taken, steps)
        if not settings.get("channels", True):
            raise ArgumentError("diffusion: channels has at least one level")

    def adapt(self, x: Array, y: Array) -> None:
        """Take the range of the training data, and check that they are as large as the noise."""
        wide = x.astype(accumulation_dtype(x.dtype), copy=False)
        rms = math.sqrt(float(backend.array_module(x).vdot(wide, wide)) / x.size)
        if not 1 / MAX_RATIO <= rms <= MAX_RATIO:
            raise UserError(
                f"diffusion: takes inputs as large as its noise, whose root mean square is 1, got {rms:.3g}; "
                "data.normalize: standardize scales them"
            )
        self.low[...], self.high[...] = x.min(), x.max()

    def forward(self, x: Tensor, t: Array | None = None) -> Tensor:
        """eps(x_t, t): the noise found in inputs (N, *in_shape) of the steps t (N,).

        Args:
            t: whole numbers 1 ... T; left out, of all T / 2.
        """
        x = as_tensor(x)
        if t is None:
            t = backend.array_module(x.data).full(len(x), self.steps // 2)
        found = self._found(x.to(dtype=next(self.parameters()).dtype), t)
        if self.prediction_type == "epsilon":
            return found
        # Not in 16 bits: a sampler takes eps away from x_t and divides by sqrt(abar_t), and the rounding with it.
        wide = accumulation_dtype(found.dtype)
        signal, noise = (Tensor(each.astype(wide)) for each in self._sizes(t, x.ndim))
        return signal * found.to(dtype=wide) + noise * x.to(dtype=wide)

    def _found(self, x: Tensor, t: Array) -> Tensor:
        """What the net says of x_t: the noise, or v."""
        return self.net(x, t * (EMBEDDED_STEPS / self.steps))

    def _sizes(self, t: Array, ndim: int) -> tuple[Array, Array]:
        """sqrt(abar_t) and sqrt(1 - abar_t) of each input, to be multiplied by arrays of ``ndim`` axes."""
        shape = (-1, *[1] * (ndim - 1))
        return self.signal[t].reshape(shape), self.noise[t].reshape(shape)

    def noised(self, x: Array, t: Array, noise: Array) -> Array:
        """x_t = sqrt(abar_t) x + sqrt(1 - abar_t) noise, of inputs (N, ...), steps (N,) and noise (N, ...)."""
        of_signal, of_noise = self._sizes(t, x.ndim)
        return of_signal * x + of_noise * noise

    def objective(self, x: Tensor, y: Array, step: Any) -> Tensor:
        share = random.uniform((len(x),), "diffusion/time", step)
        t = 1 + (share * self.steps).astype("int64")
        noise = random.normal(x.shape, "diffusion/noise", step)
        found = self._found(Tensor(self.noised(x.data, t, noise).astype(x.dtype)), t)
        target = noise
        if self.prediction_type == "v_prediction":
            of_signal, of_noise = self._sizes(t, x.ndim)
            target = of_signal * noise - of_noise * x.data
        wide = accumulation_dtype(found.dtype)
        return mse_loss(found.to(dtype=wide), Tensor(target.astype(wide)))

    def generate(
        self,
        count: int,
        seed: int = 0,
        sampler: SamplerName | None = None,
        steps: int | None = None,
        eta: float | None = None,
    ) -> Tensor:
        """New inputs, a function of the seed.

        Args:
            sampler, steps: instead of the config's ``sampler`` and ``sampler_steps``; ``ddpm`` takes all T steps where
                only it is given.
            eta: instead of the sampler's own, 1 of ddpm and 0 of ddim.
        Raises:
            ArgumentError: a setting is out of range.
        """
        size = max(1, _CHUNK // self.in_features)
        parts = []
        for chunk, start in enumerate(range(0, count, size)):
            *_, (_, x) = self.denoising(min(size, count - start), seed, sampler, steps, eta, chunk)
            parts.append(x)
        return Tensor(backend.array_module(parts[0]).concatenate(parts)[:count])

    def denoising(
        self,
        count: int,
        seed: int = 0,
        sampler: SamplerName | None = None,
        steps: int | None = None,
        eta: float | None = None,
        chunk: int = 0,
    ) -> Iterator[tuple[int, Array]]:
        """The way of ``count`` samples: t and x_t (count, *in_shape), from T down to 0; see :meth:`generate`."""
        eta, times = self._way(sampler, steps, eta)
        weight = next(self.parameters()).data
        xp, shape = backend.array_module(weight), (count, *self.in_shape)

        def drawn(t: int) -> Array:
            return random.normal(shape, f"diffusion/sample/{chunk}", t, backend.of(weight), seed=seed)

        x = drawn(self.steps + 1)
        yield times[0], x
        for t, then in zip(times, times[1:], strict=False):
            with no_grad():
                found = self(Tensor(x), xp.full(count, t)).data.astype(x.dtype)
            x = self.denoised(x, found, t, then, eta, drawn(t) if eta and then else None)
            yield then, x

    def _way(self, sampler: str | None, steps: int | None, eta: float | None) -> tuple[float, list[int]]:
        """eta, and the steps of a sampler with these settings in place of the model's own."""
        if steps is None:
            steps = self.steps if sampler == "ddpm" else self.sampler_steps
        sampler = sampler or self.sampler
        if sampler not in ("ddpm", "ddim"):
            raise ArgumentError(f"sampler is ddpm or ddim, got {sampler!r}")
        eta = float(sampler == "ddpm") if eta is None else eta
        if not 0 <= eta <= 1:
            raise ArgumentError(f"eta is 0 to 1, got {eta:g}")
        return eta, self.schedule.times(steps)

    def denoised(self, x: Array, found: Array, t: int, then: int, eta: float, z: Array | None) -> Array:
        """x_s of x_t: one step of a sampler, from t to s = ``then``.

        Args:
            found: eps(x_t, t).
            z: standard normal numbers; not looked at where eta or s is 0.
        """
        now, after = self.schedule.alpha_bar[t], self.schedule.alpha_bar[then]
        start = (x - float(np.sqrt(1 - now)) * found) * float(1 / np.sqrt(now))
        if self.clip:
            xp = backend.array_module(x)
            start = xp.minimum(xp.maximum(start, self.low), self.high).astype(x.dtype)
            found = (x - float(np.sqrt(now)) * start) * float(1 / np.sqrt(1 - now))
        variance = eta**2 * self.schedule.posterior(t, then)[2]
        moved = float(np.sqrt(after)) * start + float(np.sqrt(max(0.0, 1 - after - variance))) * found
        return moved if z is None or not variance else moved + float(np.sqrt(variance)) * z

    @property
    def _levels(self) -> list[int]:
        """Steps whose inputs a plot shows, from 0 to T, closer where there is little noise."""
        return sorted({round(self.steps * (k / (LEVELS - 1)) ** 2) for k in range(LEVELS)})

    def example_arrays(self, x: Array, y: Array, normalizer: Scaling | None = None) -> dict[str, np.ndarray]:
        """``noised`` (M, N, *in_shape): the first inputs at the steps ``noised_steps``, from 0 to T."""
        x = x[: SHOWN_IMAGES if len(self.in_shape) == 3 else SHOWN_POINTS].astype("float32")
        steps = self._levels
        noise = random.normal(x.shape, "diffusion/shown", 0)
        xp = backend.array_module(x)
        found = [self._seen(self.noised(x, xp.full(len(x), t), noise), normalizer) for t in steps]
        return {"noised": np.stack(found), "noised_steps": np.array(steps)}

    def plot_arrays(self, normalizer: Scaling | None = None) -> dict[str, np.ndarray]:
        """``denoised`` (M, N, *in_shape): samples on their way, at the steps ``denoised_steps``, from T to 0. Of points
        on a plane also ``denoising_paths`` (S + 1, 60, 2), the whole way of some."""
        images = len(self.in_shape) == 3
        way = list(self.denoising(SHOWN_IMAGES if images else SHOWN_POINTS))
        times = np.array([t for t, _ in way])
        chosen = sorted({int(np.abs(times - level).argmin()) for level in self._levels})
        found = np.stack([self._seen(way[i][1], normalizer) for i in chosen])
        arrays = {"denoised": found, "denoised_steps": times[chosen]}
        if self.in_shape == (2,):
            arrays["denoising_paths"] = np.stack([self._seen(x[:SHOWN_PATHS], normalizer) for _, x in way])
        return arrays

    def _seen(self, x: Array, normalizer: Scaling | None) -> np.ndarray:
        """For a plot: images in 0..1, others in the data's own units."""
        found = backend.to_host(x).astype("float32")
        if len(self.in_shape) != 3:
            return found if normalizer is None else (found * normalizer.scale + normalizer.shift).astype("float32")
        low, high = self.low.item(), self.high.item()
        return np.clip((found - low) / ((high - low) or 1.0), 0, 1)
