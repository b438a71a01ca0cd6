"""Distances and similarities of vectors, and vectors of length 1."""

from typing import Any

import numpy as np

from dlcourse.autograd import Tensor, as_tensor
from dlcourse.errors import ShapeError
from dlcourse.ops.algebra import broadcast_to

__all__ = ["cosine_similarity", "normalize", "pairwise_distance"]


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between vectors along an axis; as ``torch.nn.functional.cosine_similarity``.

    s = sum_i x1_i x2_i / (max(|x1|, eps) max(|x2|, eps)); with unit vectors u1 and u2, dx1 = (u2 - s u1) dy / |x1|, and
    dx2 likewise.

    Args:
        x1, x2: of one shape, or of shapes that broadcast.
        dim: the axis of the vectors.
        eps: the least length that is divided by.
    Raises:
        AxisError: there is no such axis.
        ShapeError: the shapes do not broadcast.
    """
    x1, x2 = as_tensor(x1), as_tensor(x2)
    try:
        shape = np.broadcast_shapes(x1.shape, x2.shape)
    except ValueError:
        message = f"cosine_similarity: expected shapes that broadcast, got {x1.shape} and {x2.shape}"
        raise ShapeError(message) from None
    both = (broadcast_to(x, shape) for x in (x1, x2))
    first, second = (x / _at_least(x.norm(dim=dim, keepdim=True), eps) for x in both)
    return (first * second).sum(axis=dim)


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """The p-norm of differences of vectors along the last axis; as ``torch.nn.functional.pairwise_distance``.

    d = (sum_i |x1_i - x2_i + eps|^p)^(1/p); for p = 2, dx1 = (x1 - x2 + eps) dy / d and dx2 = -dx1.

    Args:
        x1, x2: (..., D), of shapes that broadcast.
        p: 1, 2, infinity or another positive number.
        eps: added to each difference, so that d is not 0.
        keepdim: whether the last axis stays, with length 1.
    """
    return (as_tensor(x1) - as_tensor(x2) + eps).norm(p, dim=-1, keepdim=keepdim)


def normalize(x: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """Vectors along an axis divided by their p-norm: x / max(|x|, eps); as ``torch.nn.functional.normalize``.

    Args:
        x: of any shape.
        p: 1, 2, infinity or another positive number.
        dim: the axis of the vectors.
        eps: the least norm that is divided by.
    """
    x = as_tensor(x)
    return x / x.norm(p, dim=dim, keepdim=True).clip(min=eps)


def _at_least(norm: Tensor, eps: float) -> Tensor:
    """The norm, eps where that is larger; its gradient is that of the norm everywhere, as in PyTorch."""
    value: Any = norm.detach()
    return norm + (value.clip(min=eps) - value)
