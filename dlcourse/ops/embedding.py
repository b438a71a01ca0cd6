"""Embedding: a table of vectors read by index."""

from typing import Any

import numpy as np

from dlcourse import backend
from dlcourse.autograd import Function, Tensor, apply, as_tensor
from dlcourse.autograd.base import array_of, without_gradient
from dlcourse.backend.device import Array
from dlcourse.backend.kernels.embedding import embedding_grad
from dlcourse.errors import ArgumentError, ShapeError

__all__ = ["embedding", "embedding_bag", "one_hot"]


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


def embedding_bag(
    indices: Any,
    weight: Tensor,
    offsets: Any = None,
    *,
    mode: str = "mean",
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """For each bag of indices the sum, the mean or the largest of the rows of ``weight`` (V, D): (B, D); as
    ``torch.nn.functional.embedding_bag``. An empty bag gives zeros. The gradient of the largest goes to one of them.

    Args:
        indices: (B, L), a bag a row; or (M,), with
        offsets: (B,), where in the indices each bag begins, the first at 0.
        mode: "sum", "mean" or "max".
        per_sample_weights: of the indices' shape, factors of the rows; for sums.
        include_last_offset: whether the offsets end with where the last bag ends, so that there are B + 1.
        padding_idx: a row that is in no bag and gets no gradient.
    Raises:
        ShapeError: shapes do not fit, or an index is no row of the table.
        ArgumentError: another mode, or weights with another than "sum".
    Example:
        >>> table = dl.tensor([[1.0], [10.0], [100.0]])
        >>> F.embedding_bag(dl.tensor([0, 1, 1, 2]), table, dl.tensor([0, 3]), mode="sum").tolist()
        [[21.0], [100.0]]
    """
    if mode not in ("sum", "mean", "max"):
        raise ArgumentError(f"embedding_bag: mode is 'sum', 'mean' or 'max', got {mode!r}")
    if per_sample_weights is not None and mode != "sum":
        raise ArgumentError(f"embedding_bag: per_sample_weights are for mode='sum', got {mode!r}")
    found = as_tensor(indices).to(str(weight.device))
    starts, flat = _bag_starts(found, offsets, include_last_offset), found.reshape(-1)
    rows = embedding(flat, weight, padding_idx)
    if per_sample_weights is not None:
        factors = as_tensor(per_sample_weights, like=rows)
        if factors.shape != found.shape:
            raise ShapeError(f"embedding_bag: expected per_sample_weights {found.shape}, got {factors.shape}")
        rows = rows * factors.reshape(-1, 1)
    lengths = np.diff(starts, append=flat.shape[0])
    padding = len(weight) if padding_idx is None else padding_idx % len(weight)
    counted = (flat != padding).reshape(-1, 1)
    if mode == "max":
        return _largest_of_bags(rows, counted, starts, lengths)
    bags = np.repeat(np.arange(len(starts)), lengths)
    nothing = rows.new_zeros((len(starts), rows.shape[1]))
    totals = nothing.index_add(0, bags, rows.masked_fill(~counted, 0))
    if mode == "sum":
        return totals
    counts = rows.new_zeros((len(starts), 1)).index_add(0, bags, counted.to(dtype=rows.dtype))
    return totals / counts.clamp(min=1)


def _bag_starts(indices: Tensor, offsets: Any, include_last: bool) -> np.ndarray:
    """Where each bag begins among all indices, on the host."""
    if indices.ndim == 2 and offsets is None:
        return np.arange(indices.shape[0]) * indices.shape[1]
    if indices.ndim != 1 or offsets is None:
        raise ShapeError(
            "embedding_bag: expected indices (B, L), or indices (M,) with offsets (B,), got "
            f"{indices.shape} and {'no offsets' if offsets is None else f'offsets {np.shape(array_of(offsets))}'}"
        )
    starts = np.asarray(backend.to_host(array_of(offsets)))
    ends = [*starts, indices.shape[0]]
    if starts.ndim != 1 or starts.dtype.kind not in "iu" or ends[0] != 0 or (np.diff(ends) < 0).any():
        raise ShapeError(f"embedding_bag: offsets ascend from 0 to at most {indices.shape[0]}, got {starts.tolist()}")
    return starts[:-1] if include_last else starts


def _largest_of_bags(rows: Tensor, counted: Tensor, starts: np.ndarray, lengths: np.ndarray) -> Tensor:
    """The largest element of each column of each bag; 0 of none."""
    longest = int(lengths.max(initial=0))
    if not longest:
        return rows.new_zeros((len(starts), rows.shape[1]))
    places = np.minimum(starts[:, None] + np.arange(longest), rows.shape[0] - 1)  # beyond a bag's end whatever is there
    inside = as_tensor(np.arange(longest) < lengths[:, None]).to(str(rows.device))
    inside = inside.reshape(*places.shape, 1) & counted[places.reshape(-1)].reshape(*places.shape, 1)
    values = rows[places.reshape(-1)].reshape(*places.shape, rows.shape[1])
    top = values.masked_fill(~inside, -np.inf).max(dim=1).values
    return top.masked_fill(~inside.any(dim=1), 0)


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
    return without_gradient("one_hot", rows.astype(np.int64), array, classes=classes)
