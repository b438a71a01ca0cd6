"""Dropout with masks that are a function of (seed, draw, step)."""

from dlcourse.autograd import Function, Tensor, apply, as_tensor
from dlcourse.backend import random
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import dropout as kernels
from dlcourse.errors import ArgumentTypeError
from dlcourse.habits import refused_option

__all__ = ["dropout"]


class Dropout(Function):
    """y = m x / (1 - p), each m_i 0 with probability p, else 1; dx = m dy / (1 - p).

    (Srivastava et al. 2014, "inverted": scaled in training, so that evaluation is y = x.)
    """

    refuses_whole = True

    def __init__(self, p: float):
        self.p = p

    def forward(self, x: Array) -> Array:
        self.scale = 1 / (1 - self.p) if self.p < 1 else 0.0
        y, self.mask = kernels.dropout(x, round((1 - self.p) * 2**32), self.scale, random.next_key("dropout"))
        return y

    def backward(self, dout: Array) -> Array:
        return kernels.masked(dout, self.mask, self.scale)


def dropout(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Set each element to zero with probability ``p`` and scale the rest by 1 / (1 - p); nothing when not training.

    Raises:
        ValueError: ``p`` is outside 0..1.
        ArgumentTypeError: ``inplace`` is asked for: operations never change their inputs.
    """
    if inplace:
        raise ArgumentTypeError(refused_option("dropout", "inplace"))
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: p is a probability, got {p}")
    if not training or p == 0:
        return as_tensor(x)
    return apply(Dropout(p), x)
