"""Losses with a margin: of scores, of distances and of similarities, put together from functions with gradients.

``reduction`` is "mean", "sum" or "none"; that of another name is an ArgumentError, and shapes that do not fit are a
ShapeError.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from dlcourse.autograd import Tensor, as_tensor, promotion
from dlcourse.autograd.function import xp_of
from dlcourse.errors import ArgumentError, ShapeError
from dlcourse.ops.algebra import minimum, where
from dlcourse.ops.distance import pairwise_distance
from dlcourse.ops.likelihood_loss import binary_cross_entropy_with_logits
from dlcourse.ops.reduction import Reduction, check_reduction, reduced
from dlcourse.ops.targets import adds_up_by, in_type_of, labels_of, of_one_shape, on_device, weight_of

__all__ = [
    "cosine_embedding_loss",
    "hinge_embedding_loss",
    "margin_ranking_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]

EPSILON = 1e-12
"""Added to a squared length before it divides, as PyTorch does: the zero vector has no direction, and gradient 0."""


@adds_up_by("mean")
def hinge_embedding_loss(
    outputs: Tensor, targets: Any, margin: float = 1.0, *, reduction: Reduction = "mean"
) -> Tensor:
    """x where the target is 1, max(0, margin - x) where it is -1: distances x, small of what is alike."""
    x, targets = of_one_shape("hinge_embedding_loss", outputs, targets)
    targets = as_tensor(targets)
    losses = where(targets != 1, (margin - x).clip(min=0), 0.0) + where(targets != -1, x, 0.0)
    return _mean_or_sum("hinge_embedding_loss", losses, reduction)


@adds_up_by("mean")
def margin_ranking_loss(
    input1: Tensor, input2: Any, targets: Any, margin: float = 0.0, *, reduction: Reduction = "mean"
) -> Tensor:
    """max(0, margin - t (x1 - x2)): with t = 1 the first score should be larger by the margin, with -1 the second."""
    first, second, targets = _with_as_many_axes("margin_ranking_loss", input1, input2, targets)
    return _mean_or_sum("margin_ranking_loss", (margin - targets * (first - second)).clip(min=0), reduction)


def cosine_embedding_loss(
    input1: Tensor, input2: Any, targets: Any, margin: float = 0.0, *, reduction: Reduction = "mean"
) -> Tensor:
    """1 - cos(x1, x2) where the target is 1, max(0, cos(x1, x2) - margin) where it is -1; vectors (N, D), or (D,)."""
    a, b = of_one_shape("cosine_embedding_loss", input1, input2)
    targets = on_device(a, targets)
    if a.ndim not in (1, 2) or targets.shape != a.shape[:-1]:
        raise ShapeError(
            f"cosine_embedding_loss: expected vectors (N, D) and targets (N,), or (D,) and (), got {a.shape}, "
            f"{targets.shape}"
        )
    squares = ((a * a).sum(axis=-1) + EPSILON) * ((b * b).sum(axis=-1) + EPSILON)
    cosine = (a * b).sum(axis=-1) / squares.sqrt()
    losses = where(targets == 1, 1 - cosine, 0.0) + where(targets == -1, (cosine - margin).clip(min=0), 0.0)
    return _mean_or_sum("cosine_embedding_loss", losses, reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Any,
    negative: Any,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    *,
    reduction: Reduction = "mean",
) -> Tensor:
    """max(0, margin + d(anchor, positive) - d(anchor, negative)) with d = ||a - b + eps||_p over the last axis.

    With ``swap`` the distance to the negative is that of the anchor or of the positive, whichever is less (Balntas et
    al. 2016). (Schroff et al. 2015.)
    """

    def distance(a: Tensor, b: Tensor) -> Tensor:
        return pairwise_distance(a, b, p, eps)

    return triplet_margin_with_distance_loss(
        anchor, positive, negative, distance_function=distance, margin=margin, swap=swap, reduction=reduction
    )


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Any,
    negative: Any,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: Reduction = "mean",
) -> Tensor:
    """:func:`triplet_margin_loss` by another distance, a function of two tensors; without one it is that of p = 2."""
    name = "triplet_margin_loss"
    if margin <= 0:
        raise ArgumentError(f"{name}: margin is above 0, got {margin}")
    check_reduction(name, reduction)
    if distance_function is None:
        return triplet_margin_loss(anchor, positive, negative, margin, swap=swap, reduction=reduction)
    anchor, positive, negative = _with_as_many_axes(name, anchor, positive, negative)
    apart = distance_function(anchor, negative)
    if swap:
        apart = minimum(apart, distance_function(positive, negative))
    return _mean_or_sum(name, (margin + distance_function(anchor, positive) - apart).clip(min=0), reduction)


@adds_up_by("mean")
def multi_margin_loss(
    scores: Tensor,
    labels: Any,
    p: int = 1,
    margin: float = 1.0,
    weight: Any = None,
    *,
    reduction: Reduction = "mean",
) -> Tensor:
    """1/C sum_{j != y} w_y max(0, margin - s_y + s_j)^p of scores (N, C), or (C,), and labels y: the linear SVM's loss,
    with p = 2 the squared hinge; :func:`multiclass_hinge` is C times that of p = 1.

    Args:
        p: 1 or 2.
        margin: by how much the right class's score has to exceed the others.
        weight: (C,), how much each class counts; the mean is over the samples all the same.
    """
    name, scores = "multi_margin_loss", as_tensor(scores)
    promotion.refuse_whole(name, [scores])
    if p not in (1, 2):
        raise ArgumentError(f"{name}: p is 1 or 2, got {p}")
    if scores.ndim not in (1, 2) or not scores.shape[-1]:
        raise ShapeError(f"{name}: expected scores (N, C) or (C,), got {scores.shape}")
    labels = labels_of(name, scores, labels)
    xp, classes = xp_of(labels), scores.shape[-1]
    rows, each = scores.reshape(-1, classes), labels.reshape(-1)
    others = each[:, None] != xp.arange(classes)
    violations = (margin - rows[xp.arange(len(each)), each][:, None] + rows).clip(min=0)
    if p == 2:
        violations = violations * violations
    losses = where(others, violations, 0.0).sum(axis=1) / classes
    factors = weight_of(name, rows, weight)
    if factors is not None:
        if factors.shape != (classes,):
            raise ShapeError(f"{name}: weight has a number for each of the {classes} classes, got {factors.shape}")
        losses = losses * Tensor(factors[each])
    return _mean_or_sum(name, losses.reshape(labels.shape), reduction)


@adds_up_by("mean")
def multilabel_margin_loss(scores: Tensor, labels: Any, *, reduction: Reduction = "mean") -> Tensor:
    """1/C sum over the sample's classes y and all others j of max(0, 1 - s_y + s_j); scores (N, C), or (C,).

    Args:
        labels: whole numbers of the scores' shape: in each row the classes of the sample, which a -1 ends.
    """
    name, scores = "multilabel_margin_loss", as_tensor(scores)
    promotion.refuse_whole(name, [scores])
    labels = on_device(scores, labels)
    if scores.ndim not in (1, 2) or labels.shape != scores.shape or labels.dtype.kind not in "iu":
        raise ShapeError(
            f"{name}: expected scores (N, C) or (C,) and whole numbers of that shape, got {scores.shape}, "
            f"{labels.dtype} {labels.shape}"
        )
    xp, classes = xp_of(labels), scores.shape[-1]
    each = labels.reshape(-1, classes)
    there = xp.logical_and.accumulate(each >= 0, axis=1) if isinstance(each, np.ndarray) else (each < 0).cumsum(1) == 0
    if isinstance(each, np.ndarray) and (each[there] >= classes).any():
        raise ShapeError(f"{name}: labels are in 0..{classes - 1}, got {each.max()}")
    rows, places = scores.reshape(-1, classes), xp.where(there, each, 0)
    is_own = ((places[:, :, None] == xp.arange(classes)) & there[:, :, None]).any(axis=1)
    own = rows[xp.arange(len(each))[:, None], places]
    violations = (1 - own[:, :, None] + rows[:, None, :]).clip(min=0)
    counted = there[:, :, None] & ~is_own[:, None, :]
    losses = where(counted, violations, 0.0).sum(axis=(1, 2)) / classes
    return _mean_or_sum(name, losses.reshape(labels.shape[:-1]), reduction)


@adds_up_by("mean")
def multilabel_soft_margin_loss(
    logits: Tensor, targets: Any, weight: Any = None, *, reduction: Reduction = "mean"
) -> Tensor:
    """The mean over the classes of the binary cross-entropies of logits (..., C) and targets of that shape, 0 or 1."""
    losses = binary_cross_entropy_with_logits(logits, targets, weight, reduction="none")
    return _mean_or_sum("multilabel_soft_margin_loss", losses.mean(axis=-1), reduction)


def _with_as_many_axes(name: str, *given: Any) -> list[Tensor]:
    """Three tensors of the first one's type, which may broadcast, but have as many axes."""
    first = as_tensor(given[0])
    promotion.refuse_whole(name, [first])
    found = [first, *(as_tensor(in_type_of(first, each)) for each in given[1:])]
    if len({each.ndim for each in found}) > 1:
        raise ShapeError(f"{name}: expected as many axes, got {', '.join(str(each.shape) for each in found)}")
    return found


def _mean_or_sum(name: str, losses: Tensor, reduction: Reduction) -> Tensor:
    check_reduction(name, reduction)
    return reduced(losses, reduction, losses.size or float("nan"))
