"""Losses beyond the mean: how they are reduced, and the cross-entropy with class weights, labels left out, or
probabilities as targets."""

import math
from typing import Any, Literal, get_args

import numpy as np

from dlcourse import backend
from dlcourse.autograd import Tensor, as_tensor
from dlcourse.autograd.function import xp_of
from dlcourse.backend.device import Array
from dlcourse.backend.precision import accumulation_dtype
from dlcourse.errors import ArgumentError, ShapeError
from dlcourse.ops.algebra import where
from dlcourse.ops.softmax import log_softmax

__all__: list[str] = []

Reduction = Literal["mean", "sum", "none"]
REDUCTIONS = get_args(Reduction)


def check_reduction(name: str, reduction: str, *others: str) -> None:
    """Raise ArgumentError where the reduction is none that a loss has, nor one of the others that this one has."""
    if reduction not in (*REDUCTIONS, *others):
        known = ", ".join(map(repr, (*others, *REDUCTIONS[:-1])))
        raise ArgumentError(f"{name}: reduction is {known} or 'none', got {reduction!r}")


def reduced(losses: Tensor, reduction: str, count: Any) -> Tensor:
    """The losses as they are, their sum, or their sum over ``count``: NaN where that is 0."""
    if reduction != "mean":
        return losses if reduction == "none" else losses.sum()
    with np.errstate(invalid="ignore"):
        return losses.sum() / count


def of_labels(
    logits: Tensor, labels: Array, weight: Any, ignore_index: int | None, reduction: str, label_smoothing: float
) -> Tensor:
    """l_i = -w_y log p_y, with smoothing (1 - s) l_i - s / C sum_c w_c log p_c; 0 where y is ``ignore_index``.

    The mean is over the weights of the labels that count: sum_i l_i / sum_i w_(y_i).
    """
    kind = logits.dtype
    log_p = log_softmax(logits.to(dtype=accumulation_dtype(kind)))
    return of_log_probabilities(log_p, labels, weight, ignore_index, reduction, label_smoothing).to(dtype=kind)


def of_log_probabilities(
    log_p: Tensor, labels: Array, weight: Any, ignore_index: int | None, reduction: str, label_smoothing: float = 0.0
) -> Tensor:
    """:func:`of_labels` of log_softmax(logits)."""
    xp, classes, shape = xp_of(labels), log_p.shape[-1], labels.shape
    log_p, labels = log_p.reshape(-1, classes), labels.reshape(-1)
    counted = xp.ones(labels.shape, dtype=bool) if ignore_index is None else labels != ignore_index
    chosen = xp.where(counted, labels, 0)
    weights = _weights(log_p, weight)
    share = weights[chosen] * counted
    losses = -log_p[xp.arange(len(chosen)), chosen] * Tensor(share)
    if label_smoothing:
        even = -(log_p * Tensor(weights)).sum(axis=1)
        losses = (1 - label_smoothing) * losses + label_smoothing / classes * even
    if ignore_index is not None:
        losses = where(Tensor(counted), losses, 0.0)
    return reduced(losses.reshape(shape), reduction, Tensor(share.sum()))


def of_probabilities(logits: Tensor, targets: Any, weight: Any, reduction: str, label_smoothing: float) -> Tensor:
    """l_i = -sum_c w_c t_ic log p_ic, where t is smoothed to (1 - s) t + s / C; the mean is over the rows."""
    kind = logits.dtype
    logits = logits.to(dtype=accumulation_dtype(kind))
    targets = as_tensor(targets, like=logits)
    if targets.shape != logits.shape:
        raise ShapeError(
            f"cross_entropy: targets are labels, integers {logits.shape[:-1]}, or probabilities, floats "
            f"{logits.shape}; got {targets.dtype} of shape {targets.shape}"
        )
    if label_smoothing:
        targets = (1 - label_smoothing) * targets + label_smoothing / logits.shape[-1]
    losses = -(log_softmax(logits) * targets * Tensor(_weights(logits, weight))).sum(axis=-1)
    return reduced(losses, reduction, losses.size or math.nan).to(dtype=kind)


def _weights(logits: Tensor, weight: Any) -> Array:
    """A weight for each class (C,), ones if left out, in the logits' type."""
    xp, classes = xp_of(logits.data), logits.shape[-1]
    if weight is None:
        return xp.ones(classes, dtype=logits.dtype)
    array = weight.data if isinstance(weight, Tensor) else weight
    array = backend.of(logits.data).asarray(array, dtype=logits.dtype)
    if array.shape != (classes,):
        raise ShapeError(f"cross_entropy: weight has a number for each of the {classes} classes, got {array.shape}")
    return array
