"""Layers around the affine map."""

import math
from collections.abc import Callable
from functools import partial
from typing import Literal

from dlcourse.autograd import Parameter, Tensor, as_tensor
from dlcourse.backend import random
from dlcourse.errors import ArgumentError
from dlcourse.nn.activation import GELU, ReLU
from dlcourse.nn.module import Module, runs
from dlcourse.nn.sizes import check_sizes
from dlcourse.ops.bilinear import bilinear
from dlcourse.ops.linear import linear, linear_gelu_tanh, linear_relu

__all__ = ["Bilinear", "Flatten", "Identity", "Linear", "Unflatten"]


class Linear(Module):
    """y = x W^T + b over the last axis: x (..., in_features), y (..., out_features).

    Both start uniform in +-1 / sqrt(in_features), PyTorch's default.

    ``layer(x, "relu")`` is ``relu(layer(x))`` in one pass, and ``layer(x, "gelu_tanh")`` is ``gelu(layer(x), "tanh")``;
    :class:`~dlcourse.nn.Sequential` makes them by itself of such an activation that follows. They need a bias.

    Args:
        in_features: length of the input's last axis.
        out_features: length of the output's.
        bias: whether b is there.
    Example:
        >>> layer = nn.Linear(2, 3)
        >>> layer(dl.tensor([[1.0, 2.0]])).shape, layer.weight.shape
        ((1, 3), (3, 2))
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True):
        super().__init__()
        check_sizes("Linear", in_features=in_features, out_features=out_features)
        if in_features < 1 or out_features < 1:
            raise ValueError(f"Linear: sizes are at least 1, got {in_features=} and {out_features=}")
        self.in_features, self.out_features = in_features, out_features
        bound = 1 / math.sqrt(in_features)
        rng = random.next_generator("init/linear")
        self.weight = Parameter(rng.uniform(-bound, bound, (out_features, in_features)).astype("float32"))
        self.bias = Parameter(rng.uniform(-bound, bound, out_features).astype("float32")) if bias else None

    def forward(self, x: Tensor, activation: Literal["relu", "gelu_tanh"] | None = None) -> Tensor:
        if activation is None:
            return linear(x, self.weight, self.bias)
        if self.bias is None:
            raise ArgumentError(f"Linear: activation={activation!r} is one pass with the bias, and this layer has none")
        return (linear_relu if activation == "relu" else linear_gelu_tanh)(x, self.weight, self.bias)

    def fused_with(self, following: Module) -> Callable[[Tensor], Tensor] | None:
        if self.bias is None or not runs(self, Linear.forward):
            return None
        if runs(following, ReLU.forward):
            return partial(self, activation="relu")
        if isinstance(following, GELU) and runs(following, GELU.forward) and following.approximate == "tanh":
            return partial(self, activation="gelu_tanh")
        return None

    def flops(self, in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> int:
        return 2 * math.prod(in_shape) * self.out_features


class Bilinear(Module):
    """y_o = sum_ij x1_i w_oij x2_j + b_o: x1 (..., in1), x2 (..., in2) -> (..., out).

    Weight (out, in1, in2) and bias start uniform in +-1 / sqrt(in1), PyTorch's default.

    Args:
        in1_features, in2_features: lengths of the inputs' last axes.
        out_features: length of the output's.
        bias: whether b is there.
    """

    def __init__(self, in1_features: int, in2_features: int, out_features: int, bias: bool = True):
        super().__init__()
        sizes = {"in1_features": in1_features, "in2_features": in2_features, "out_features": out_features}
        check_sizes("Bilinear", **sizes)
        if min(sizes.values()) < 1:
            raise ArgumentError(f"Bilinear: sizes are at least 1, got {sizes}")
        self.in1_features, self.in2_features, self.out_features = sizes.values()
        bound, rng = 1 / math.sqrt(in1_features), random.next_generator("init/bilinear")
        shape = out_features, in1_features, in2_features
        self.weight = Parameter(rng.uniform(-bound, bound, shape).astype("float32"))
        self.bias = Parameter(rng.uniform(-bound, bound, out_features).astype("float32")) if bias else None

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return bilinear(x1, x2, self.weight, self.bias)

    def flops(self, in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> int:
        return 2 * math.prod(in_shape[:-1]) * self.weight.data.size + 2 * math.prod(out_shape) * self.in2_features


class Flatten(Module):
    """Some axes as one, all but the first if nothing else is said: (N, H, W, C) -> (N, H W C).

    Args:
        start_dim, end_dim: the first and the last of these axes.
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1):
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Tensor) -> Tensor:
        return as_tensor(x).flatten(self.start_dim, self.end_dim)


class Unflatten(Module):
    """One axis as several.

    Args:
        dim: the axis.
        unflattened_size: their lengths, one of which may be -1.
    Example:
        >>> nn.Unflatten(1, (4, 4, 2))(dl.tensor(np.zeros((5, 32), "float32"))).shape
        (5, 4, 4, 2)
    """

    def __init__(self, dim: int, unflattened_size: tuple[int, ...]):
        super().__init__()
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, x: Tensor) -> Tensor:
        return as_tensor(x).unflatten(self.dim, self.unflattened_size)


class Identity(Module):
    """y = x."""

    def forward(self, x: Tensor) -> Tensor:
        return as_tensor(x)
