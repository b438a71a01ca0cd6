"""How a diffusion takes inputs to noise, step by step, and the closed forms of that."""

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

from dlcourse.errors import ArgumentError

__all__ = ["NoiseSchedule", "ScheduleName"]

ScheduleName = Literal["linear", "cosine"]
_MAX_BETA = 0.999
_OFFSET = 0.008


@dataclass(frozen=True)
class NoiseSchedule:
    """Of x_t = sqrt(1 - beta_t) x_(t-1) + sqrt(beta_t) e, e ~ N(0, 1), for t = 1 ... T.

    With abar_t = prod_(s <= t) (1 - beta_s) all steps up to t are one:

        q(x_t | x_0) = N(sqrt(abar_t) x_0, 1 - abar_t)

    Attributes:
        alpha_bar: (T + 1,) abar_t in float64, the first of them 1.
    """

    alpha_bar: np.ndarray

    @classmethod
    def named(cls, name: ScheduleName, steps: int) -> Self:
        """A schedule of T = ``steps``.

        ``linear``: beta_t from 1e-4 to 0.02 at T = 1000, for another T times 1000 / T (Ho et al. 2020). ``cosine``:
        abar_t = f(t) / f(0), f(t) = cos((t / T + 0.008) / 1.008 pi / 2)^2, with beta_t at most 0.999 (Nichol & Dhariwal
        2021).

        Raises:
            ArgumentError: T is below 1.
        """
        if steps < 1:
            raise ArgumentError(f"a diffusion has at least 1 step, got {steps}")
        if name == "linear":
            betas = np.linspace(1e-4, 0.02, steps) * (1000 / steps)
        else:
            f = np.cos((np.arange(steps + 1) / steps + _OFFSET) / (1 + _OFFSET) * np.pi / 2) ** 2
            betas = 1 - f[1:] / f[:-1]
        return cls(np.concatenate([[1.0], np.cumprod(1 - np.minimum(betas, _MAX_BETA))]))

    @property
    def steps(self) -> int:
        """T."""
        return len(self.alpha_bar) - 1

    @property
    def betas(self) -> np.ndarray:
        """(T,) beta_1 ... beta_T."""
        return 1 - self.alpha_bar[1:] / self.alpha_bar[:-1]

    def posterior(self, t: int, to: int | None = None) -> tuple[float, float, float]:
        """a, b, v of q(x_s | x_t, x_0) = N(a x_0 + b x_t, v), for s = ``to``, by default t - 1:

        a = sqrt(abar_s) (1 - abar_t / abar_s) / (1 - abar_t)
        b = sqrt(abar_t / abar_s) (1 - abar_s) / (1 - abar_t)
        v = (1 - abar_s) / (1 - abar_t) (1 - abar_t / abar_s)
        """
        now, then = self.alpha_bar[t], self.alpha_bar[t - 1 if to is None else to]
        kept, rest = now / then, 1 - now
        a, b = np.sqrt(then) * (1 - kept) / rest, np.sqrt(kept) * (1 - then) / rest
        return float(a), float(b), float((1 - then) / rest * (1 - kept))

    def times(self, count: int) -> list[int]:
        """``count`` + 1 steps from T down to 0, evenly spread: the way of a sampler.

        Raises:
            ArgumentError: there are not so many.
        """
        check_sampler(count, self.steps)
        return np.round(np.linspace(self.steps, 0, count + 1)).astype(int).tolist()


def check_sampler(count: int, steps: int) -> None:
    """Raise ArgumentError where a diffusion of that many steps has no ``count`` for a sampler to take."""
    if not 1 <= count <= steps:
        raise ArgumentError(f"a sampler takes 1 to {steps} steps of this diffusion, got {count}")
