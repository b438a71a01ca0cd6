"""Distances and similarities of vectors as layers."""

from dlcourse.autograd import Tensor
from dlcourse.nn.module import Module
from dlcourse.ops.distance import cosine_similarity, pairwise_distance

__all__ = ["CosineSimilarity", "PairwiseDistance"]


class CosineSimilarity(Module):
    """The cosine of the angle between vectors along an axis, see ``F.cosine_similarity``.

    Args:
        dim: the axis of the vectors.
        eps: the least length that is divided by.
    Example:
        >>> nn.CosineSimilarity()(dl.tensor([[3.0, 0.0]]), dl.tensor([[2.0, 2.0]])).numpy().round(3).tolist()
        [0.707]
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8):
        super().__init__()
        self.dim, self.eps = dim, eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Module):
    """The p-norm of differences of vectors along the last axis, see ``F.pairwise_distance``.

    Args:
        p: 1, 2, infinity or another positive number.
        eps: added to each difference.
        keepdim: whether the last axis stays, with length 1.
    Example:
        >>> nn.PairwiseDistance()(dl.tensor([[3.0, 0.0]]), dl.tensor([[0.0, 4.0]])).numpy().round(3).tolist()
        [5.0]
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False):
        super().__init__()
        self.p, self.eps, self.keepdim = p, eps, keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return pairwise_distance(x1, x2, self.p, self.eps, self.keepdim)
