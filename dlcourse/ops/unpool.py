"""The way back from max pooling: elements at their old places, zeros elsewhere."""

from typing import Any

import numpy as np

from dlcourse.autograd import Tensor, as_tensor
from dlcourse.errors import ArgumentError, ShapeError
from dlcourse.ops.conv import SHAPES, Sizes, sizes

__all__ = ["max_unpool1d", "max_unpool2d"]


def max_unpool2d(
    x: Tensor,
    indices: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    output_size: Any = None,
) -> Tensor:
    """Images (N, H', W', C) of zeros but for x (N, H, W, C), whose elements stand at the places h W' + w that the
    indices say, as max pooling gives them; as ``torch.nn.functional.max_unpool2d``, channels last. dx takes dy there.

    Args:
        indices: (N, H, W, C), from ``max_pool2d(..., return_indices=True)``.
        kernel_size, stride, padding: those of the pooling; then H' = (H - 1) stride - 2 padding + kernel_size.
        output_size: (H', W'), or the whole shape, where several sizes become H x W.
    Raises:
        ShapeError: the shapes do not fit, or an index lies outside (on the CPU, where asking is free).
        ArgumentError: the size is none of those that become H x W.
    Example:
        >>> y, indices = F.max_pool2d(dl.tensor([[[[1.0], [2.0]], [[4.0], [3.0]]]]), 2, return_indices=True)
        >>> F.max_unpool2d(y, indices, 2).reshape(2, 2).tolist()
        [[0.0, 0.0], [4.0, 0.0]]
    """
    return _unpooled("max_unpool2d", 2, x, indices, kernel_size, stride, padding, output_size)


def max_unpool1d(
    x: Tensor,
    indices: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    output_size: Any = None,
) -> Tensor:
    """Sequences (N, T', C) of zeros but for x (N, T, C), see :func:`max_unpool2d`."""
    return _unpooled("max_unpool1d", 1, x, indices, kernel_size, stride, padding, output_size)


def _unpooled(
    name: str, axes: int, x: Tensor, indices: Tensor, kernel_size: Any, stride: Any, padding: Any, output_size: Any
) -> Tensor:
    x, indices = as_tensor(x), as_tensor(indices)
    if x.ndim != axes + 2 or indices.shape != x.shape:
        raise ShapeError(
            f"{name}: expected x {SHAPES[axes][0]} and indices of its shape, got {x.shape}, {indices.shape}"
        )
    window = sizes("kernel_size", kernel_size, axes)
    step = window if stride is None else sizes("stride", stride, axes)
    edge = sizes("padding", padding, axes, 0)
    out = tuple((n - 1) * s - 2 * p + k for n, k, s, p in zip(x.shape[1:-1], window, step, edge, strict=True))
    if output_size is not None:
        out = _given(name, axes, tuple(output_size), out, step)
    n, channels, places = x.shape[0], x.shape[-1], int(np.prod(out))
    flat = x.new_zeros((n, places, channels)).scatter(1, indices.reshape(n, -1, channels), x.reshape(n, -1, channels))
    return flat.reshape(n, *out, channels)


def _given(name: str, axes: int, size: tuple, default: tuple[int, ...], step: tuple[int, ...]) -> tuple[int, ...]:
    """The output's size as it was asked for."""
    size = size[1:-1] if len(size) == axes + 2 else size
    fits = len(size) == axes and all(abs(a - b) < s for a, b, s in zip(size, default, step, strict=True))
    if not fits:
        raise ArgumentError(
            f"{name}: output_size is {default}, each less than a stride of {step} more or less, got {size}"
        )
    return size
