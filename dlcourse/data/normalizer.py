"""Bring features to a common scale, by numbers that come from the training split alone."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, Self

import numpy as np

from dlcourse.backend import array_module
from dlcourse.backend.precision import accumulation_dtype
from dlcourse.data.moments import Moments
from dlcourse.data.rows import Rows

Kind = Literal["none", "standardize", "per_pixel", "mean_image", "minmax"]


class Normalizer:
    """z = (x - shift) / scale, for each feature of (N, D) inputs, for each channel or pixel of (N, H, W, C) images.

    So x = shift + scale z, and a model w z + b reads (w / scale) x + b - w shift / scale in the raw units.
    """

    def __init__(self, shift: np.ndarray, scale: np.ndarray):
        self.shift = np.array(shift, dtype=np.float64)
        self.scale = np.array(scale, dtype=np.float64)
        self.identity = not self.shift.any() and bool((self.scale == 1).all())

    @classmethod
    def fit(cls, x: np.ndarray | Rows, kind: Kind = "standardize", keep: np.ndarray | None = None) -> Self:
        """Find shift and scale, for each feature or channel: (D,) or (C,), or for each pixel: (H, W, C).

        ``standardize``: mean and standard deviation. ``per_pixel``: the same for each pixel. ``mean_image``: the mean
        of each pixel, and 1. ``minmax``: smallest value and range. ``none``: 0 and 1. What is the same in every sample
        is shifted to zero and not scaled.

        Args:
            keep: (D,) true for features that stay as they are, as the zeros and ones of categories: scaled, that of a
                rare one would be hundreds, and a net that met it three times would be off by as much.
        """
        if kind == "none":
            return cls(np.zeros(x.shape[-1]), np.ones(x.shape[-1]))
        moments = Moments.of(x, per_position=kind in ("per_pixel", "mean_image"))
        if kind == "mean_image":
            return cls(moments.mean, np.ones_like(moments.mean))
        shift, scale = (moments.low, moments.high - moments.low) if kind == "minmax" else (moments.mean, moments.std)
        constant = (moments.low == moments.high) | (scale == 0)
        found = cls(np.where(constant, moments.low, shift), np.where(constant, 1.0, scale))
        return found if keep is None else cls(np.where(keep, 0.0, found.shift), np.where(keep, 1.0, found.scale))

    def apply(self, x: Any, dtype: Any = np.float64) -> Any:
        """Normalize a host or device array; the result is new, of the given floating-point type.

        Inputs in float64 are normalized in float64 whatever the result's type, so that a spread that is small against
        the mean is not lost.
        """
        xp = array_module(x)
        work = np.result_type(x.dtype, accumulation_dtype(np.dtype(dtype)))
        z = xp.array(x, dtype=work)
        z -= xp.asarray(self.shift, dtype=work)
        z /= xp.asarray(self.scale, dtype=work)
        return z.astype(dtype, copy=False)

    def state_dict(self) -> dict[str, np.ndarray]:
        """The two arrays that say all."""
        return {"shift": self.shift.copy(), "scale": self.scale.copy()}

    @classmethod
    def from_state_dict(cls, state: Mapping[str, np.ndarray]) -> Self:
        """The normalizer whose :meth:`state_dict` this is."""
        return cls(state["shift"], state["scale"])


class TargetNormalizer(Normalizer):
    """The same for the targets y (..., K) of a regression: a model learns z = (y - shift) / scale, (K,) each."""

    def restore(self, z: Any) -> Any:
        """y = shift + scale z of targets or outputs (..., K), in float64, where they lie.

        Outputs (..., 2 K) are means and logarithms of standard deviations: the second half becomes log(scale) + z.
        """
        return self._moved(z, lambda mean, shift, scale: mean * scale + shift, 1.0)

    def scaled(self, y: Any) -> Any:
        """What :meth:`restore` undoes: z of targets or outputs in their own units, in float64."""
        return self._moved(y, lambda mean, shift, scale: (mean - shift) / scale, -1.0)

    def _moved(self, values: Any, move: Callable[[Any, Any, Any], Any], sign: float) -> Any:
        xp, count = array_module(values), len(self.shift)
        wide = values.astype(np.float64)  # a copy, of which views are written to
        mean = wide[..., :count]
        mean[...] = move(mean, xp.asarray(self.shift), xp.asarray(self.scale))
        if wide.shape[-1] == 2 * count:
            wide[..., count:] += xp.asarray(sign * np.log(self.scale))
        return wide
