"""A layer of one's own, its operation with forward and backward, and a net that uses it.

    dlcourse check FILE                     every property below, with numbers
    dlcourse run spirals.yaml --plugin FILE model=my_layer_net

(`dlcourse init spirals` copies that config. In a config of yours, `plugins: [FILE]` and --allow-code do the same.)

The contract of an operation (Function): forward and backward see raw arrays, NumPy's or CuPy's; what backward needs is
kept on self; neither changes its inputs; each returns the type that came in; an input without rows gives none.
The contract of a layer (nn.Module): what is trained is an nn.Parameter, what else forward depends on is a buffer
(self.register_buffer(name, array)); self.training tells training from evaluation; random numbers come from nn.init,
nn.Dropout and dlcourse.backend.random, so that a seed repeats a run; arrays are channels last, (N, ..., C).
"""

from typing import Any, ClassVar

import numpy as np

from dlcourse import Function, Tensor, apply, nn
from dlcourse.backend import array_module
from dlcourse.models import Model
from dlcourse.registry import register
from dlcourse.types import Count


class GatedFunction(Function):
    """y = x sigmoid(a x);  dx = dy (s + a x s (1 - s)), da = sum of dy x^2 s (1 - s) over all but the last axis."""

    def forward(self, x: Any, a: Any) -> Any:
        xp = array_module(x)
        self.x, self.a = x, a
        self.s = 0.5 * (1 + xp.tanh(0.5 * a * x))  # the sigmoid, without overflow
        return x * self.s

    def backward(self, dy: Any) -> Any:
        slope = self.x * self.s * (1 - self.s)
        dx = dy * (self.s + self.a * slope)
        da = (dy * self.x * slope).reshape(-1, self.x.shape[-1]).sum(axis=0)
        return dx, da


class Gated(nn.Module):
    """x sigmoid(a x), with a learned for each feature.

    Args:
        features: size of the last axis.
    """

    example: ClassVar = {"features": 4, "input": (4,)}  # what `dlcourse check` makes one with, and one input's shape

    def __init__(self, features: int):
        super().__init__()
        self.a = nn.Parameter(np.ones(features, "float32"))

    def forward(self, x: Tensor) -> Tensor:
        return apply(GatedFunction(), x, self.a)


@register("model", "my_layer_net")
class MyLayerNet(Model):
    """Two linear layers with the layer between them.

    Args:
        width: hidden units.
    """

    def __init__(self, in_shape: tuple[int, ...], out_features: int, width: Count = 32):
        super().__init__(in_shape, out_features)
        self.first = nn.Linear(self.in_features, width)
        self.gated = Gated(width)
        self.second = nn.Linear(width, out_features)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(x.shape[0], self.in_features)
        return self.second(self.gated(self.first(rows)))
