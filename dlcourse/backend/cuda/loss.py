"""Softmax cross-entropy on the GPU: one kernel, a warp a row; its last block takes the mean of the rows.

Of many replicas it is one kernel too: each has blocks of its own, and a last block.
"""

from typing import Any

import numpy as np

from dlcourse.backend.cuda.block_counters import COUNTERS, block_counters
from dlcourse.backend.cuda.program import override, program, type_suffix
from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import loss as kernels
from dlcourse.backend.kernels import require

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


@override(kernels.softmax_cross_entropy_each)
def softmax_cross_entropy_each(
    logits: Array, labels: Array, label_smoothing: Any, with_grad: bool, out: Array | None
) -> tuple:
    apart = getattr(label_smoothing, "ndim", 0) == 1
    smoothing = (label_smoothing, logits.dtype.type(0)) if apart else (None, logits.dtype.type(label_smoothing))
    name, xp = type_suffix(logits, smoothing[0], out), array_module(logits)
    replicas, rows, classes = logits.shape
    require(replicas <= COUNTERS and (out is None or out.flags.c_contiguous))
    logits, labels = xp.ascontiguousarray(logits), xp.ascontiguousarray(labels.astype(xp.int64, copy=False))
    grad = xp.empty_like(logits) if with_grad else None
    losses = xp.empty((replicas, rows), dtype=logits.dtype)
    found = xp.empty(replicas, dtype=logits.dtype) if out is None else out
    sizes = np.int64(rows), np.int32(classes), np.int32(len(labels) > 1)
    arguments = logits, labels, grad, losses, block_counters(xp), found, *sizes, *smoothing
    program("loss").launch(f"cross_entropy_each_{name}", (-(-rows // WARPS), replicas), (32 * WARPS,), arguments)
    return found, grad
