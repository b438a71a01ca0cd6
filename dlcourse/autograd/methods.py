"""A tensor's methods, put together, and the bounds of its elements."""

import math
from typing import TYPE_CHECKING, Any

from dlcourse.autograd import elementwise
from dlcourse.autograd.arranging import Arranging
from dlcourse.autograd.base import TensorBase, apply
from dlcourse.autograd.conversion import Conversion
from dlcourse.autograd.creation import paired
from dlcourse.autograd.gradient_hooks import GradientHooks
from dlcourse.autograd.scattering import Scattering
from dlcourse.autograd.statistics import Statistics
from dlcourse.backend.precision import is_floating, largest
from dlcourse.errors import ArgumentError

if TYPE_CHECKING:
    from dlcourse.autograd.tensor import Tensor


class Methods(Statistics, Scattering, Arranging, Conversion, GradientHooks):
    """A tensor's functions."""

    __slots__ = ()

    def clamp(self, min: Any = None, max: Any = None) -> "Tensor":
        """As :meth:`clip`."""
        return clip(self, min, max)

    def clip(self, min: Any = None, max: Any = None) -> "Tensor":
        """Each element, no smaller than ``min`` and no larger than ``max``: numbers, or tensors that get a gradient.

        Raises:
            ArgumentError: neither is given.
        """
        return clip(self, min, max)

    def clamp_min(self, min: Any) -> "Tensor":
        """Each element, no smaller than ``min``."""
        return clip(self, min)

    def clamp_max(self, max: Any) -> "Tensor":
        """Each element, no larger than ``max``."""
        return clip(self, None, max)

    def nan_to_num(self, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> "Tensor":
        """NaN replaced by a number, infinities by others, if left out the largest and smallest of the type."""
        if not is_floating(self.dtype):
            return self.clone()
        limit = largest(self.dtype)
        bounds = (limit if posinf is None else posinf), (-limit if neginf is None else neginf)
        x, infinity = self.masked_fill(self.isnan(), nan), math.inf
        return x.masked_fill(self == infinity, bounds[0]).masked_fill(self == -infinity, bounds[1])


def clip(x: TensorBase, low: Any = None, high: Any = None) -> "Tensor":
    """Each element of x, no smaller than ``low`` and no larger than ``high``; each a number, an array or a tensor.

    Raises:
        ArgumentError: neither is given.
    """
    if low is None and high is None:
        raise ArgumentError("clip: expected a lower or an upper bound, got none")
    bounds = []
    for bound in (low, high):
        if bound is not None:
            x, bound = paired(x, bound)
        bounds.append(bound)
    return apply(elementwise.Clip(), x, *bounds)
