"""Embedding: vectors for tokens."""

from typing import Any, Literal, Self

from dlcourse.autograd import Parameter, Tensor, as_tensor
from dlcourse.backend import random
from dlcourse.errors import ArgumentError, ShapeError
from dlcourse.nn.module import Module
from dlcourse.nn.sizes import check_sizes
from dlcourse.ops.embedding import embedding, embedding_bag

__all__ = ["Embedding", "EmbeddingBag"]


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
    def from_pretrained(
        cls, embeddings: Any, freeze: bool = True, padding_idx: int | None = None, **options: Any
    ) -> Self:
        """A layer with this table (num, dim), copied; frozen unless ``freeze`` is false.

        Args:
            padding_idx, options: of the constructor.
        Raises:
            ShapeError: the table has not two axes.
        """
        table = as_tensor(embeddings)
        if table.ndim != 2:
            raise ShapeError(f"{cls.__name__}.from_pretrained: expected a table (num, dim), got {table.shape}")
        num, dim = table.shape
        layer = cls(num, dim, padding_idx=padding_idx, **options)
        layer.weight = Parameter(table.detach().clone())
        layer.weight.requires_grad = not freeze
        return layer

    def forward(self, indices: Any) -> Tensor:
        return embedding(indices, self.weight, self.padding_idx)


class EmbeddingBag(Embedding):
    """The mean, sum or maximum of an :class:`Embedding`'s vectors over each bag of indices: (B, L) -> (B, dim), or
    indices (M,) and ``offsets`` (B,), where each bag begins. An empty bag gives zeros.

    Args:
        num: how many tokens there are.
        dim: length of a vector.
        mode: "mean", "sum" or "max".
        include_last_offset: whether the offsets end with where the last bag ends.
        padding_idx: the row of the token that stands for padding: it is in no bag, starts at zero and stays there.
    Example:
        >>> bag = nn.EmbeddingBag(10, 4, mode="sum")
        >>> bag(np.array([[1, 2, 3]])).shape, bag(np.array([1, 2, 3, 4]), np.array([0, 3])).shape
        ((1, 4), (2, 4))
    """

    def __init__(
        self,
        num: int,
        dim: int,
        *,
        mode: Literal["mean", "sum", "max"] = "mean",
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ):
        super().__init__(num, dim, padding_idx)
        if mode not in ("mean", "sum", "max"):
            raise ArgumentError(f"EmbeddingBag: mode is 'mean', 'sum' or 'max', got {mode!r}")
        self.mode, self.include_last_offset = mode, include_last_offset

    def forward(self, indices: Any, offsets: Any = None, per_sample_weights: Any = None) -> Tensor:
        """(B, dim), see :func:`dlcourse.functional.embedding_bag`."""
        return embedding_bag(
            indices,
            self.weight,
            offsets,
            mode=self.mode,
            per_sample_weights=per_sample_weights,
            include_last_offset=self.include_last_offset,
            padding_idx=self.padding_idx,
        )
