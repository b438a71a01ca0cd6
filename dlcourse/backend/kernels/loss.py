"""Softmax cross-entropy with its gradient in one pass over the logits, of one model and of many replicas."""

from typing import Any

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import kernel
from dlcourse.backend.kernels.grad_buffers import copy_into


@kernel(writes=("out",))
def softmax_cross_entropy(
    logits: Array, labels: Array, label_smoothing: float, with_grad: bool, out: Array | None
) -> tuple:
    """The mean of -sum_c t_c log softmax(z)_c over the rows, and its gradient (softmax(z) - t) / N.

    The target t is (1 - s) one-hot(label) + s / C, with the label smoothing s. The row's maximum is taken off before
    the exponential, so no finite logit overflows.

    Args:
        logits: z, (N, C), floating point.
        labels: (N,), integers in 0..C-1.
        out: where the loss is written, zero-dimensional, if given.
    Returns:
        The loss, NaN of no rows, as a zero-dimensional array, and the gradient (N, C), or None without ``with_grad``.
    """
    xp = array_module(logits)
    count, classes = logits.shape
    if not count:
        loss = copy_into(xp.full((), xp.nan, dtype=logits.dtype), out)
        return loss, xp.zeros_like(logits) if with_grad else None
    rows = xp.arange(count)
    shifted = logits - logits.max(axis=1, keepdims=True)  # (N, C)
    exponentials = xp.exp(shifted)
    totals = exponentials.sum(axis=1, keepdims=True)  # (N, 1)
    log_totals = xp.log(totals)[:, 0]
    losses = log_totals - shifted[rows, labels]
    if label_smoothing:
        losses = (1 - label_smoothing) * losses + label_smoothing * (log_totals - shifted.mean(axis=1))
    loss = copy_into(xp.asarray(losses.mean(), dtype=logits.dtype), out)
    if not with_grad:
        return loss, None
    grad = exponentials / totals
    if label_smoothing:
        grad -= label_smoothing / classes
    grad[rows, labels] -= 1 - label_smoothing
    grad /= count
    return loss, grad


@kernel(writes=("out",))
def softmax_cross_entropy_each(
    logits: Array, labels: Array, label_smoothing: Any, with_grad: bool, out: Array | None
) -> tuple:
    """:func:`softmax_cross_entropy` of each of R replicas.

    Args:
        logits: z, (R, N, C), floating point, N > 0.
        labels: (R, N), or (1, N) for all, integers in 0..C-1.
        label_smoothing: a number for all, or (R,) in the type of the logits.
        out: where the losses are written, (R,), if given.
    Returns:
        The losses (R,), and the gradients (R, N, C), or None without ``with_grad``.
    """
    xp = array_module(logits)
    replicas, count, classes = logits.shape
    own = xp.arange(replicas)[:, None], xp.arange(count), labels
    shifted = logits - logits.max(axis=2, keepdims=True)
    grad = xp.exp(shifted)
    totals = grad.sum(axis=2, keepdims=True)  # (R, N, 1)
    logs = xp.log(totals)[..., 0]
    losses = logs - shifted[own]
    apart = getattr(label_smoothing, "ndim", 0) == 1
    share = label_smoothing[:, None] if apart else label_smoothing  # (R, 1)
    if apart or share:
        smooth = (1 - share) * losses + share * (logs - shifted.mean(axis=2))
        # Without smoothing the sum stays out: 0 times the infinity of a class that is ruled out would be NaN.
        losses = xp.where(share > 0, smooth, losses) if apart else smooth
    found = copy_into(losses.mean(axis=1), out)
    if not with_grad:
        return found, None
    grad /= totals
    if apart or share:
        grad -= (share[..., None] if apart else share) / classes
    grad[own] -= 1 - share
    grad /= count
    return found, grad
