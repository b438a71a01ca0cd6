"""Embedding: a table of vectors read by index."""

from typing import Any

import numpy as np

from dlcourse import backend
from dlcourse.autograd import Function, Tensor, apply
from dlcourse.backend.device import Array
from dlcourse.backend.kernels.embedding import embedding_grad
from dlcourse.errors import ShapeError

__all__ = ["embedding"]


class Embedding(Function):
    """y = W[i]; dW_j = sum of dy over the positions whose index is j. Shapes: i (...), W (V, D), y (..., D)."""

    def __init__(self, indices: Array):
        self.indices = indices

    def forward(self, weight: Array) -> Array:
        self.rows = len(weight)
        return weight[self.indices]

    def backward(self, dout: Array) -> Array:
        return embedding_grad(dout.reshape(-1, dout.shape[-1]), self.indices.reshape(-1), self.rows)


def embedding(indices: Any, weight: Tensor) -> Tensor:
    """The rows of ``weight`` (V, D) at integer indices of any shape.

    Raises:
        ShapeError: indices are no integers, or (on the CPU, where asking is free) outside 0..V-1.
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
    return apply(Embedding(array), weight)
