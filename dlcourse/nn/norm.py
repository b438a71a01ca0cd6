"""Normalization layers."""

from collections.abc import Callable
from functools import partial

import numpy as np

from dlcourse.autograd import Parameter, Tensor
from dlcourse.backend.device import Array
from dlcourse.nn.activation import ReLU
from dlcourse.nn.module import Module, runs
from dlcourse.nn.sizes import check_sizes
from dlcourse.ops.norm import batch_norm, group_norm, layer_norm

__all__ = ["BatchNorm", "BatchNorm1d", "BatchNorm2d", "GroupNorm", "LayerNorm"]


class BatchNorm(Module):
    """y = w (x - mu) / sqrt(var + eps) + b over all axes but the last: for (N, C) and (N, H, W, C) alike.

    In training mu and var (1/M) are the batch's, and the running averages move by ``momentum`` towards mu and the
    unbiased variance; in evaluation the running averages are used. All as ``torch.nn.BatchNorm1d`` and ``2d``.
    (Ioffe & Szegedy 2015.)

    ``norm(x, relu=True)`` is ``relu(norm(x))`` in one pass, which :class:`~dlcourse.nn.Sequential` makes by itself of a
    ReLU that follows; ``norm(x, relu=True, residual=r)`` is ``relu(norm(x) + r)``.

    Args:
        num_features: C.
        eps: added to the variance.
        momentum: the share of a new batch in the running averages.
    Example:
        >>> norm = nn.BatchNorm(1)
        >>> norm(dl.tensor([[1.0], [3.0]])).numpy().round(3).tolist()
        [[-1.0], [1.0]]
        >>> round(norm.running_mean.item(), 3)  # 0.9 times 0 plus 0.1 times 2
        0.2
    """

    running_mean: Array
    running_var: Array

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        check_sizes("BatchNorm", num_features=num_features)
        if num_features < 1 or eps <= 0 or momentum is None or not 0 <= momentum <= 1:
            raise ValueError(f"BatchNorm: got {num_features=}, {eps=}, {momentum=}")
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.weight = Parameter(np.ones(num_features, dtype="float32"))
        self.bias = Parameter(np.zeros(num_features, dtype="float32"))
        self.register_buffer("running_mean", np.zeros(num_features, dtype="float32"))
        self.register_buffer("running_var", np.ones(num_features, dtype="float32"))

    def forward(self, x: Tensor, relu: bool = False, residual: Tensor | None = None) -> Tensor:
        given = self.running_mean, self.running_var, self.weight, self.bias, self.training, self.momentum, self.eps
        return batch_norm(x, *given, relu=relu, residual=residual)

    def fused_with(self, following: Module) -> Callable[[Tensor], Tensor] | None:
        return partial(self, relu=True) if runs(self, BatchNorm.forward) and runs(following, ReLU.forward) else None

    def flops(self, in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> int:
        return 4 * int(np.prod(out_shape))


BatchNorm1d = BatchNorm2d = BatchNorm
"""PyTorch's names: channels are last here, so that one class is for both."""


class LayerNorm(Module):
    """y = w (x - mu) / sqrt(var + eps) + b over the last axis of each sample. (Ba, Kiros & Hinton 2016.)

    Args:
        dim: length of the last axis.
        eps: added to the variance.
    """

    def __init__(self, dim: int, eps: float = 1e-5):
        super().__init__()
        self.dim, self.eps = dim, eps
        self.weight = Parameter(np.ones(dim, dtype="float32"))
        self.bias = Parameter(np.zeros(dim, dtype="float32"))

    def forward(self, x: Tensor) -> Tensor:
        return layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)

    def flops(self, in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> int:
        return 8 * int(np.prod(out_shape))


class GroupNorm(Module):
    """Normalizes groups of channels of each sample together, over all positions: (N, ..., C). (Wu & He 2018.)

    Args:
        num_groups: how many groups; a divisor of ``num_channels``.
        num_channels: C.
        eps: added to the variance.
    """

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5):
        super().__init__()
        check_sizes("GroupNorm", num_groups=num_groups, num_channels=num_channels)
        if num_groups < 1 or num_channels % num_groups:
            raise ValueError(f"GroupNorm: {num_channels} channels do not fall into {num_groups} groups")
        self.num_groups, self.num_channels, self.eps = num_groups, num_channels, eps
        self.weight = Parameter(np.ones(num_channels, dtype="float32"))
        self.bias = Parameter(np.zeros(num_channels, dtype="float32"))

    def forward(self, x: Tensor) -> Tensor:
        return group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def flops(self, in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> int:
        return 8 * int(np.prod(out_shape))
