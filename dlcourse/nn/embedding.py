"""Embedding: vectors for tokens."""

from typing import Any

from dlcourse.autograd import Parameter, Tensor
from dlcourse.backend import random
from dlcourse.nn.module import Module
from dlcourse.nn.sizes import check_sizes
from dlcourse.ops.embedding import embedding

__all__ = ["Embedding"]


class Embedding(Module):
    """A table (num, dim) read by integers: indices (...) -> (..., dim). It starts standard normal, as PyTorch's.

    Args:
        num: how many tokens there are.
        dim: length of a vector.
    Example:
        >>> table = nn.Embedding(10, 4)
        >>> table(np.array([[1, 2, 3]])).shape
        (1, 3, 4)
    """

    def __init__(self, num: int, dim: int):
        super().__init__()
        check_sizes("Embedding", num=num, dim=dim)
        if num < 1 or dim < 1:
            raise ValueError(f"Embedding: sizes are at least 1, got {num=}, {dim=}")
        self.num, self.dim = num, dim
        self.weight = Parameter(random.next_generator("init/embedding").standard_normal((num, dim)).astype("float32"))

    def forward(self, indices: Any) -> Tensor:
        return embedding(indices, self.weight)
