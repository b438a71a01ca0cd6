"""Softmax cross-entropy in one buffer: the gradient's array also holds the shifted logits and the exponentials."""

import numpy as np

from dlcourse.backend.device import Array
from dlcourse.backend.kernels import loss as kernels
from dlcourse.backend.kernels import override
from dlcourse.backend.kernels.grad_buffers import copy_into


@override(kernels.softmax_cross_entropy, "cpu")
def softmax_cross_entropy(
    logits: Array, labels: Array, label_smoothing: float, with_grad: bool, out: Array | None
) -> tuple:
    count, classes = logits.shape
    if not count:
        return NotImplemented
    rows = np.arange(count)
    grad = np.subtract(logits, logits.max(axis=1, keepdims=True))  # (N, C), the only array of that size
    chosen = grad[rows, labels]
    mean_shifted = grad.mean(axis=1) if label_smoothing else None
    np.exp(grad, out=grad)
    totals = grad.sum(axis=1)
    log_totals = np.log(totals)
    losses = log_totals - chosen
    if label_smoothing:
        losses = (1 - label_smoothing) * losses + label_smoothing * (log_totals - mean_shifted)
    loss = copy_into(np.asarray(losses.mean(), dtype=logits.dtype), out)
    if not with_grad:
        return loss, None
    grad *= (1 / (totals * count))[:, None]
    if label_smoothing:
        grad -= label_smoothing / (classes * count)
    grad[rows, labels] -= (1 - label_smoothing) / count
    return loss, grad
