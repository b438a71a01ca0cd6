"""Dropout with masks that are a function of (seed, draw, step)."""

from dlcourse import backend
from dlcourse.autograd import Function, Tensor, apply
from dlcourse.backend.device import Array

__all__ = ["dropout"]


class Dropout(Function):
    """y = m x / (1 - p), each m_i 0 with probability p, else 1; dx = m dy / (1 - p).

    (Srivastava et al. 2014, "inverted": scaled in training, so that evaluation is y = x.)
    """

    def __init__(self, p: float):
        self.p = p

    def forward(self, x: Array) -> Array:
        self.mask = backend.random.bernoulli(x.shape, 1 - self.p, "dropout", backend.of(x))
        return self._masked(x)

    def backward(self, dout: Array) -> Array:
        return self._masked(dout)

    def _masked(self, x: Array) -> Array:
        y = x * self.mask
        y *= 1 / (1 - self.p)
        return y


def dropout(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Set each element to zero with probability ``p`` and scale the rest by 1 / (1 - p); nothing when not training.

    Raises:
        ValueError: ``p`` is outside 0..1.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: p is a probability, got {p}")
    if not training or p == 0:
        return x
    return x * 0.0 if p == 1 else apply(Dropout(p), x)
