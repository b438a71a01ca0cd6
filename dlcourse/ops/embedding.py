"""Embedding: a table of vectors read by index."""

from typing import Any

import numpy as np

from dlcourse import backend
from dlcourse.autograd import Function, Tensor, apply
from dlcourse.backend.device import Array
from dlcourse.backend.kernels.embedding import embedding_grad
from dlcourse.errors import ArgumentError, ShapeError

__all__ = ["embedding", "one_hot"]


class Embedding(Function):
    """y = W[i]; dW_j = sum of dy over the positions whose index is j. Shapes: i (...), W (V, D), y (..., D).

    Args:
        padding_idx: the row whose gradient is 0.
    """

    def __init__(self, indices: Array, padding_idx: int | None = None):
        self.indices, self.padding_idx = indices, padding_idx

    def forward(self, weight: Array) -> Array:
        self.rows = len(weight)
        return weight[self.indices]

    def backward(self, dout: Array) -> Array:
        grad = embedding_grad(dout.reshape(-1, dout.shape[-1]), self.indices.reshape(-1), self.rows)
        if self.padding_idx is not None:
            grad[self.padding_idx] = 0
        return grad


def embedding(indices: Any, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """The rows of ``weight`` (V, D) at integer indices of any shape.

    Args:
        padding_idx: a row that gets no gradient, counted from the end where it is negative.
    Raises:
        ShapeError: indices are no integers, or (on the CPU, where asking is free) outside 0..V-1.
        ValueError: there is no row ``padding_idx``.
    """
    if weight.ndim != 2:
        raise ShapeError(f"embedding: expected weight (V, D), got {weight.shape}")
    array = indices.data if isinstance(indices, Tensor) else indices
    if not hasattr(array, "dtype") or type(array) is not type(weight.data):
        array = backend.of(weight.data).asarray(array)
    if array.dtype.kind not in "iu":
        raise ShapeError(f"embedding: indices are integers, got {array.dtype}")
    if isinstance(array, np.ndarray) and array.size and (array.min() < 0 or array.max() >= len(weight)):
        raise ShapeError(f"embedding: indices are in 0..{len(weight) - 1}, got {array.min()}..{array.max()}")
    if padding_idx is not None and not -len(weight) <= padding_idx < len(weight):
        raise ArgumentError(f"embedding: padding_idx is a row of the table of {len(weight)}, got {padding_idx}")
    return apply(Embedding(array, padding_idx), weight)


def one_hot(labels: Any, num_classes: int = -1) -> Tensor:
    """Whole numbers (...) as rows of 0 and one 1, (..., K) int64; K is one more than the largest unless given.

    Raises:
        ShapeError: labels are no whole numbers, or not in 0..K-1.
    """
    array = labels.data if isinstance(labels, Tensor) else backend.current().asarray(labels)
    if array.dtype.kind not in "iu":
        raise ShapeError(f"one_hot: labels are whole numbers, got {array.dtype}")
    if not array.size and num_classes <= 0:
        raise ShapeError("one_hot: of no labels the number of classes is to be given")
    low, high = (int(array.min()), int(array.max())) if array.size else (0, num_classes - 1)
    classes = high + 1 if num_classes == -1 else num_classes
    if low < 0 or high >= classes:
        raise ShapeError(f"one_hot: labels are in 0..{classes - 1}, got {low}..{high}")
    rows = backend.array_module(array).arange(classes) == array[..., None]
    return Tensor(rows.astype(np.int64))
