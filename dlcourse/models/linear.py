"""Linear regression: a line, or a plane through several features (lecture 2)."""

import numpy as np

from dlcourse.autograd import Tensor, as_tensor
from dlcourse.backend.device import Array
from dlcourse.models.base import FeatureModel, Scaling, flat, named_by_output
from dlcourse.ops.linear import linear
from dlcourse.registry import register

__all__ = ["LinearModel"]


@register("model", "linear")
class LinearModel(FeatureModel):
    """y = W x + b; the lecture's theta is (W, b). Images are flattened.

    Args:
        in_shape: shape of one input, D numbers in all.
        out_features: K, width of the target.

    Attributes:
        weight: W, (K, D), zeros at first.
        bias: b, (K,), zeros at first.
    """

    def __init__(self, in_shape: tuple[int, ...], out_features: int):
        super().__init__(in_shape, out_features, int(np.prod(in_shape)))

    def features(self, x: Array) -> Array:
        return flat(x)

    def forward(self, x: Tensor) -> Tensor:
        return linear(as_tensor(x).flatten(1), self.weight, self.bias)

    def estimates(self, normalizer: Scaling | None = None) -> dict[str, float]:
        """``slope`` and ``intercept``; of several features ``slope[Size]``, ``slope[City=B]``, ...; none beyond 20."""
        if self.in_features > 20:
            return {}
        slopes, intercepts = in_raw_units(*self.coefficients(), *self.raw_scaling(normalizer))
        names = self.per_input("slope")
        lines = [line_estimates(names, *line) for line in zip(slopes, intercepts, strict=True)]
        return named_by_output(lines, self.target_names)


def in_raw_units(
    weight: np.ndarray, bias: np.ndarray, shift: np.ndarray, scale: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """W z + b with z = (x - shift) / scale, as slopes (K, D) and intercepts (K,) of x."""
    slopes = weight / scale
    return slopes, bias - slopes @ shift


def line_estimates(names: list[str], slopes: np.ndarray, intercept: float) -> dict[str, float]:
    """One output's slopes (D,) and intercept by name."""
    return {**dict(zip(names, map(float, slopes), strict=True)), "intercept": float(intercept)}
