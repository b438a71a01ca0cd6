"""Bring features to a common scale, by numbers that come from the training split alone."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from dlcourse.backend import array_module

_CHUNK = 1 << 20  # elements converted to float64 at a time


class Normalizer:
    """z = (x - shift) / scale, for each feature of (N, D) inputs, for each channel of (N, H, W, C) pictures.

    So x = shift + scale z, and a model w z + b reads (w / scale) x + b - w shift / scale in the raw units.
    """

    def __init__(self, shift: np.ndarray, scale: np.ndarray):
        self.shift = np.array(shift, dtype=np.float64)
        self.scale = np.array(scale, dtype=np.float64)
        self.identity = not self.shift.any() and bool((self.scale == 1).all())

    @classmethod
    def fit(cls, x: np.ndarray, kind: Literal["none", "standardize", "minmax"] = "standardize") -> "Normalizer":
        """Find shift and scale: mean and standard deviation, smallest value and range, or 0 and 1.

        A feature that is the same in every sample is shifted to zero and not scaled.
        """
        features = x.shape[-1]
        if kind == "none":
            return cls(np.zeros(features), np.ones(features))
        rows = x.reshape(-1, features)
        low, high = rows.min(axis=0).astype(np.float64), rows.max(axis=0).astype(np.float64)
        if kind == "minmax":
            shift, scale = low, high - low
        else:
            shift = low + _mean(rows, low)
            scale = np.sqrt(_mean(rows, shift, squared=True))
        constant = (low == high) | (scale == 0)
        return cls(np.where(constant, low, shift), np.where(constant, 1.0, scale))

    def apply(self, x: Any, dtype: Any = np.float64) -> Any:
        """Normalise a host or device array; the result is new, of the given floating-point type.

        Inputs in float64 are normalised in float64 whatever the result's type, so that a spread that is small against
        the mean is not lost.
        """
        xp = array_module(x)
        work = np.result_type(x.dtype, dtype)
        z = normalized(x, xp.asarray(self.shift, dtype=work), xp.asarray(self.scale, dtype=work))
        return z.astype(dtype, copy=False)

    def state_dict(self) -> dict[str, np.ndarray]:
        """The two arrays that say all."""
        return {"shift": self.shift.copy(), "scale": self.scale.copy()}

    @classmethod
    def from_state_dict(cls, state: Mapping[str, np.ndarray]) -> "Normalizer":
        """The normalizer whose :meth:`state_dict` this is."""
        return cls(state["shift"], state["scale"])


def normalized(x: Any, shift: Any, scale: Any) -> Any:
    """(x - shift) / scale in the type of shift, a new array on the device where all three lie."""
    z = x.astype(shift.dtype)
    z -= shift
    z /= scale
    return z


def _mean(rows: np.ndarray, origin: np.ndarray, squared: bool = False) -> np.ndarray:
    """The mean of rows - origin, or of its square, in float64 without a float64 copy of the whole."""
    total = np.zeros(rows.shape[1])
    step = max(1, _CHUNK // rows.shape[1])
    for start in range(0, len(rows), step):
        deviation = rows[start : start + step] - origin
        total += np.einsum("ij,ij->j", deviation, deviation) if squared else deviation.sum(axis=0)
    return total / len(rows)
