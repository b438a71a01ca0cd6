"""Embedding: vectors for tokens."""

from typing import Any

from dlcourse.autograd import Parameter, Tensor, as_tensor
from dlcourse.backend import random
from dlcourse.errors import ArgumentError, ShapeError
from dlcourse.nn.module import Module
from dlcourse.nn.sizes import check_sizes
from dlcourse.ops.embedding import embedding

__all__ = ["Embedding"]


class Embedding(Module):
    """A table (num, dim) read by integers: indices (...) -> (..., dim). It starts standard normal, as PyTorch's.

    Args:
        num: how many tokens there are.
        dim: length of a vector.
        padding_idx: the row of the token that stands for padding: it starts at zero and gets no gradient, so it stays
            there. Counted from the end where it is negative.
    Example:
        >>> table = nn.Embedding(10, 4)
        >>> table(np.array([[1, 2, 3]])).shape
        (1, 3, 4)
    """

    def __init__(self, num: int, dim: int, padding_idx: int | None = None):
        super().__init__()
        check_sizes("Embedding", num=num, dim=dim)
        if num < 1 or dim < 1:
            raise ValueError(f"Embedding: sizes are at least 1, got {num=}, {dim=}")
        if padding_idx is not None and not -num <= padding_idx < num:
            raise ArgumentError(f"Embedding: padding_idx is one of the {num} rows, got {padding_idx}")
        self.num, self.dim = num, dim
        self.padding_idx = padding_idx if padding_idx is None or padding_idx >= 0 else num + padding_idx
        table = random.next_generator("init/embedding").standard_normal((num, dim)).astype("float32")
        if padding_idx is not None:
            table[padding_idx] = 0
        self.weight = Parameter(table)

    @classmethod
    def from_pretrained(cls, embeddings: Any, freeze: bool = True, padding_idx: int | None = None) -> "Embedding":
        """A layer with this table (num, dim), copied; frozen unless ``freeze`` is false.

        Raises:
            ShapeError: the table has not two axes.
        """
        table = as_tensor(embeddings)
        if table.ndim != 2:
            raise ShapeError(f"Embedding.from_pretrained: expected a table (num, dim), got {table.shape}")
        num, dim = table.shape
        layer = cls(num, dim, padding_idx)
        layer.weight = Parameter(table.detach().clone())
        layer.weight.requires_grad = not freeze
        return layer

    def forward(self, indices: Any) -> Tensor:
        return embedding(indices, self.weight, self.padding_idx)
