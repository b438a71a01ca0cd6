"""Normalization layers."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import numpy as np

from dlcourse.autograd import Parameter, Tensor
from dlcourse.backend.device import Array
from dlcourse.errors import ArgumentError, ShapeError
from dlcourse.nn.activation import ReLU
from dlcourse.nn.module import Module, runs
from dlcourse.nn.sizes import check_sizes
from dlcourse.ops.group_norm import group_norm, instance_norm
from dlcourse.ops.norm import batch_norm, layer_norm
from dlcourse.ops.rms_norm import local_response_norm, rms_norm

__all__ = [
    "BatchNorm",
    "BatchNorm1d",
    "BatchNorm2d",
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "LayerNorm",
    "LocalResponseNorm",
    "RMSNorm",
    "SyncBatchNorm",
]

LAYOUTS = {2: "(N, C)", 3: "(N, T, C)", 4: "(N, H, W, C)"}


class Norm(Module):
    """What normalization layers share: weights of ones, biases of zeros, and what they cost."""

    weight: Parameter | None
    bias: Parameter | None
    operations: ClassVar[int] = 8
    """So many for an element."""

    def torch_axis(self, name: str) -> int:
        return 0 if getattr(self, name).ndim == 3 else -1  # (H, W, C) of an image

    def _make_affine(self, shape: int | tuple[int, ...], weight: bool, bias: bool) -> None:
        self.weight = Parameter(np.ones(shape, dtype="float32")) if weight else None
        self.bias = Parameter(np.zeros(shape, dtype="float32")) if bias else None

    def flops(self, in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> int:
        return self.operations * int(np.prod(out_shape))


class _ChannelNorm(Norm):
    """What normalizations of single channels share: running averages and weights, each where it is wanted."""

    running_mean: Array | None
    running_var: Array | None
    axes: ClassVar[tuple[int, ...]] = ()
    """The numbers of axes that x may have; any where empty."""

    def __init__(
        self, num_features: int, eps: float, momentum: float, affine: bool, track_running_stats: bool, bias: bool
    ):
        super().__init__()
        name = type(self).__name__
        check_sizes(name, num_features=num_features)
        if momentum is None:
            raise ArgumentError(
                f"{name}: momentum is a number; the mean over all batches, momentum=None, is not offered"
            )
        if num_features < 1 or eps <= 0 or not 0 <= momentum <= 1:
            raise ArgumentError(f"{name}: got {num_features=}, {eps=}, {momentum=}")
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self._make_affine(num_features, affine, affine and bias)
        if track_running_stats:
            self.register_buffer("running_mean", np.zeros(num_features, dtype="float32"))
            self.register_buffer("running_var", np.ones(num_features, dtype="float32"))
        else:
            self.running_mean = self.running_var = None

    def torch_only(self) -> dict[str, np.ndarray]:
        return {"num_batches_tracked": np.array(0)} if self.track_running_stats else {}

    def _check(self, x: Tensor) -> None:
        if (self.axes and x.ndim not in self.axes) or x.shape[-1:] != (self.num_features,):
            layouts = " or ".join(LAYOUTS[axes] for axes in self.axes or (2, 4))
            raise ShapeError(f"{type(self).__name__}: expected x {layouts} with C = {self.num_features}, got {x.shape}")


class BatchNorm(_ChannelNorm):
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
        affine: whether w and b are there.
        track_running_stats: whether there are running averages; without them evaluation normalizes by the batch too.
        bias: whether b is there, if w is.
    Example:
        >>> norm = nn.BatchNorm(1)
        >>> norm(dl.tensor([[1.0], [3.0]])).numpy().round(3).tolist()
        [[-1.0], [1.0]]
        >>> round(norm.running_mean.item(), 3)  # 0.9 times 0 plus 0.1 times 2
        0.2
    """

    operations = 4
    synchronized = False
    """Whether the batch's statistics are those of all ranks, where several have parts of it; see SyncBatchNorm."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        bias: bool = True,
    ):
        super().__init__(num_features, eps, momentum, affine, track_running_stats, bias)

    def forward(self, x: Tensor, relu: bool = False, residual: Tensor | None = None) -> Tensor:
        self._check(x)
        own = self.training or self.running_mean is None
        given = self.running_mean, self.running_var, self.weight, self.bias, own, self.momentum, self.eps
        return batch_norm(x, *given, relu=relu, residual=residual, synchronized=self.synchronized)

    def fused_with(self, following: Module) -> Callable[[Tensor], Tensor] | None:
        return partial(self, relu=True) if runs(self, BatchNorm.forward) and runs(following, ReLU.forward) else None


class BatchNorm1d(BatchNorm):
    """:class:`BatchNorm` of vectors (N, C) and sequences (N, T, C), PyTorch's name for it."""

    axes = (2, 3)


class BatchNorm2d(BatchNorm):
    """:class:`BatchNorm` of images (N, H, W, C), PyTorch's name for it."""

    axes = (4,)


class SyncBatchNorm(BatchNorm):
    """:class:`BatchNorm` whose statistics in training are those of the whole batch where several processes have parts
    of it, as ``torch.nn.SyncBatchNorm``; with one process it is the same.
    """

    synchronized = True

    @classmethod
    def convert_sync_batchnorm(cls, module: Module) -> Module:
        """Let every :class:`BatchNorm` inside compute so; returns the module, which is changed in place."""
        for each in module.modules():
            if isinstance(each, BatchNorm):
                each.synchronized = True
        return module


class InstanceNorm2d(_ChannelNorm):
    """y = w (x - mu) / sqrt(var + eps) + b, mu and var (1/M) of each channel of each image (N, H, W, C) over its M
    positions. (Ulyanov, Vedaldi & Lempitsky 2016.)

    Args:
        num_features: C.
        eps: added to the variance.
        momentum: the share of a new batch in the running averages.
        affine: whether w and b are there.
        track_running_stats: whether there are running averages, by which evaluation normalizes then.
        bias: whether b is there, if w is.
    """

    axes = (4,)

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        *,
        bias: bool = True,
    ):
        super().__init__(num_features, eps, momentum, affine, track_running_stats, bias)

    def forward(self, x: Tensor) -> Tensor:
        self._check(x)
        own = self.training or self.running_mean is None
        given = self.running_mean, self.running_var, self.weight, self.bias, own, self.momentum, self.eps
        return instance_norm(x, *given)


class InstanceNorm1d(InstanceNorm2d):
    """:class:`InstanceNorm2d` of sequences (N, T, C)."""

    axes = (3,)


class LayerNorm(Norm):
    """y = w (x - mu) / sqrt(var + eps) + b over the last axes of each sample. (Ba, Kiros & Hinton 2016.)

    Args:
        dim: length of the last axis, or the lengths of the last axes; PyTorch's ``normalized_shape``.
        eps: added to the variance.
        elementwise_affine: whether w and b are there.
        bias: whether b is there, if w is.
    """

    def __init__(
        self,
        dim: int | tuple[int, ...],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ):
        super().__init__()
        self.dim, self.eps = _lengths("LayerNorm", "dim", dim), eps
        self.elementwise_affine = elementwise_affine
        self._make_affine(self.dim, elementwise_affine, elementwise_affine and bias)

    def forward(self, x: Tensor) -> Tensor:
        return layer_norm(x, self.dim, self.weight, self.bias, self.eps)


class RMSNorm(Norm):
    """y = w x / sqrt(mean(x^2) + eps) over the last axes of each sample: layer norm without mean and bias. (Zhang &
    Sennrich 2019.)

    Args:
        normalized_shape: length of the last axis, or the lengths of the last axes.
        eps: added to the mean of the squares; the rounding step of the type computed in if left out.
        elementwise_affine: whether w is there.
    Example:
        >>> nn.RMSNorm(2)(dl.tensor([[3.0, 3.0]])).numpy().round(3).tolist()
        [[1.0, 1.0]]
    """

    operations = 4

    def __init__(
        self, normalized_shape: int | tuple[int, ...], eps: float | None = None, elementwise_affine: bool = True
    ):
        super().__init__()
        self.normalized_shape, self.eps = _lengths("RMSNorm", "normalized_shape", normalized_shape), eps
        self.elementwise_affine = elementwise_affine
        self._make_affine(self.normalized_shape, elementwise_affine, False)

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.normalized_shape, self.weight, self.eps)


def _lengths(layer: str, name: str, value: Any) -> tuple[int, ...]:
    given = value if isinstance(value, tuple | list) else (value,)
    for length in given:
        check_sizes(layer, **{name: length})
    if not given or min(given) < 1:
        raise ArgumentError(f"{layer}: {name} is lengths of at least 1, got {value!r}")
    return tuple(given)


class GroupNorm(Norm):
    """Normalizes groups of channels of each sample together, over all positions: (N, ..., C). (Wu & He 2018.)

    Args:
        num_groups: how many groups; a divisor of ``num_channels``.
        num_channels: C.
        eps: added to the variance.
        affine: whether a weight and a bias for each channel are there.
        bias: whether the bias is there, if the weight is.
    """

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True, *, bias: bool = True
    ):
        super().__init__()
        check_sizes("GroupNorm", num_groups=num_groups, num_channels=num_channels)
        if num_groups < 1 or num_channels % num_groups:
            raise ValueError(f"GroupNorm: {num_channels} channels do not fall into {num_groups} groups")
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, affine
        self._make_affine(num_channels, affine, affine and bias)

    def forward(self, x: Tensor) -> Tensor:
        return group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


class LocalResponseNorm(Module):
    """y_c = x_c / (k + alpha / size sum_j x_j^2)^beta over ``size`` neighboring channels: (N, ..., C).
    (Krizhevsky et al. 2012.)

    Args:
        size: how many channels.
        alpha, beta, k: as in the equation.
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0):
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, x: Tensor) -> Tensor:
        return local_response_norm(x, self.size, self.alpha, self.beta, self.k)
