"""Dropout as a layer."""

from dlcourse.autograd import Tensor
from dlcourse.nn.module import Module
from dlcourse.ops.dropout import dropout

__all__ = ["Dropout"]


class Dropout(Module):
    """In training each element is 0 with probability ``p`` and the rest is scaled by 1 / (1 - p); in evaluation y = x.

    Args:
        p: the probability of dropping, as in PyTorch (the course's homework states the probability of keeping).
    Example:
        >>> dropout = nn.Dropout(0.5)
        >>> sorted(set(dropout(dl.tensor(np.ones(1000, "float32"))).tolist()))
        [0.0, 2.0]
        >>> dropout.eval()(dl.tensor([1.0, 1.0])).tolist()
        [1.0, 1.0]
    """

    def __init__(self, p: float = 0.5):
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"Dropout: p is a probability, got {p}")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.p, self.training)
