"""Softmax cross-entropy on the GPU: one kernel, a warp a row; its last block takes the mean of the rows."""

import numpy as np

from dlcourse.backend.cuda.block_counters import block_counters
from dlcourse.backend.cuda.program import override, program, type_suffix
from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import loss as kernels

WARPS = 4
"""Of a block: the rows that it takes."""


@override(kernels.softmax_cross_entropy)
def softmax_cross_entropy(
    logits: Array, labels: Array, label_smoothing: float, with_grad: bool, out: Array | None
) -> tuple:
    name, xp = type_suffix(logits, out), array_module(logits)
    logits, labels = xp.ascontiguousarray(logits), xp.ascontiguousarray(labels.astype(xp.int64, copy=False))
    rows, classes = logits.shape
    grad = xp.empty_like(logits) if with_grad else None
    losses = xp.empty(rows, dtype=logits.dtype)
    loss = xp.empty((), dtype=logits.dtype) if out is None else out
    sizes = np.int64(rows), np.int32(classes), logits.dtype.type(label_smoothing)
    arguments = logits, labels, grad, losses, block_counters(xp), loss, *sizes
    program("loss").launch(f"cross_entropy_{name}", (-(-rows // WARPS),), (32 * WARPS,), arguments)
    return loss, grad
