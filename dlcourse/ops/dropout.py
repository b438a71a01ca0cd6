"""Dropout with masks that are a function of (seed, draw, step)."""

from typing import Any

from dlcourse.autograd import Function, Tensor, apply, as_tensor
from dlcourse.autograd.replicas import ReplicaArray, Rule, value_of
from dlcourse.backend import array_module, random
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import dropout as kernels
from dlcourse.backend.kernels.select import selected
from dlcourse.errors import ArgumentTypeError, ShapeError
from dlcourse.habits import refused_option
from dlcourse.ops.conv import SHAPES

__all__ = ["alpha_dropout", "dropout", "dropout1d", "dropout2d", "feature_alpha_dropout"]

ALPHA = 1.7580993408473766
"""SELU's scale times its alpha: minus its least value."""


class DropoutRule(Rule):
    """:class:`Dropout` of replicas: each draws its own masks, by its own seed, step and probability."""

    def forward(self, x: ReplicaArray) -> Array:
        xp, values = array_module(x.values), x.values
        y, self.factor = xp.empty(values.shape, values.dtype), xp.empty(values.shape, values.dtype)
        for r in self.replicas.each():
            p = value_of(self.function.p, r)
            if p == 0:  # a replica that drops nothing draws nothing
                y[r], self.factor[r] = values[r], 1
                continue
            scale = 1 / (1 - p) if p < 1 else 0.0
            y[r], mask = kernels.dropout(values[r], round((1 - p) * 2**32), scale, random.next_key("dropout"))
            self.factor[r] = mask
            self.factor[r] *= scale
        return y

    def backward(self, dout: Array) -> Array:
        return selected(dout * self.factor, self.factor != 0)


class Dropout(Function):
    """y = m x / (1 - p), each m_i 0 with probability p, else 1; dx = m dy / (1 - p).

    (Srivastava et al. 2014, "inverted": scaled in training, so that evaluation is y = x.)
    """

    refuses_whole = True
    replica_rule = DropoutRule

    def __init__(self, p: float):
        self.p = p

    def forward(self, x: Array) -> Array:
        self.scale = 1 / (1 - self.p) if self.p < 1 else 0.0
        drawn = random.drawn_rows(x.shape)
        if drawn is not None:
            self.mask = _mask(x, drawn, self.p)
            return kernels.masked(x, self.mask, self.scale)
        y, self.mask = kernels.dropout(x, _threshold(self.p), self.scale, random.next_key("dropout"))
        return y

    def backward(self, dout: Array) -> Array:
        return kernels.masked(dout, self.mask, self.scale)


def _threshold(p: float) -> int:
    return round((1 - p) * 2**32)


def _mask(x: Array, drawn: tuple[tuple[int, ...], Any], p: float) -> Array:
    """The rows that are wanted of a mask of that shape."""
    shape, rows = drawn
    ones = array_module(x).ones(shape, dtype=x.dtype)
    return kernels.dropout(ones, _threshold(p), 1.0, random.next_key("dropout"))[1][rows]


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


class AlphaDropout(Function):
    """y = a (m x - alpha (1 - m)) + a alpha p, each m 0 with probability p, else 1; dx = a m dy.

    With alpha = 1.7581 (the product of SELU's two numbers) and a = 1 / sqrt((1 - p) (1 + p alpha^2)) mean 0 and
    variance 1 stay. (Klambauer et al. 2017.) With alpha = 0 and a = 1 / (1 - p) it is :class:`Dropout`.

    Args:
        shared: one m for each channel of a sample, the same at all positions. (Tompson et al. 2015.)
    """

    refuses_whole = True
    compute_in_float32 = True

    def __init__(self, p: float, alpha: float, shared: bool):
        self.p, self.alpha, self.shared = p, alpha, shared

    def forward(self, x: Array) -> Array:
        shape = (x.shape[0], *(1,) * (x.ndim - 2), x.shape[-1]) if self.shared else x.shape
        self.mask = _mask(x, random.drawn_rows(shape) or (shape, ...), self.p)
        if self.p == 1:
            scale = 0.0
        elif self.alpha:
            scale = ((1 - self.p) * (1 + self.p * self.alpha**2)) ** -0.5
        else:
            scale = 1 / (1 - self.p)
        self.scale = x.dtype.type(scale)
        y = x * (
            self.mask * self.scale
        )  # a product: a NaN that is dropped stays one, so that a net that has diverged says so
        if self.alpha:
            y += (self.mask + x.dtype.type(self.p - 1)) * x.dtype.type(self.alpha * scale)
        return y

    def backward(self, dout: Array) -> Array:
        dx = selected(dout, self.mask)
        dx *= self.scale
        return dx


def dropout1d(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Set whole channels of a sequence (N, T, C) to zero with probability ``p`` and scale the rest by 1 / (1 - p); as
    ``torch.nn.functional.dropout1d``, channels last."""
    return _drop("dropout1d", x, p, training, inplace, 0.0, shared=True, layout=SHAPES[1][0])


def dropout2d(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Set whole channels of an image (N, H, W, C) to zero with probability ``p`` and scale the rest by 1 / (1 - p); as
    ``torch.nn.functional.dropout2d``, channels last."""
    return _drop("dropout2d", x, p, training, inplace, 0.0, shared=True, layout=SHAPES[2][0])


def alpha_dropout(x: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Set elements to SELU's least value with probability ``p``, so that mean 0 and variance 1 stay; as
    ``torch.nn.functional.alpha_dropout``."""
    return _drop("alpha_dropout", x, p, training, inplace, ALPHA, shared=False)


def feature_alpha_dropout(x: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """:func:`alpha_dropout` of whole channels of (N, ..., C); as ``torch.nn.functional.feature_alpha_dropout``."""
    return _drop("feature_alpha_dropout", x, p, training, inplace, ALPHA, shared=True)


def _drop(
    name: str, x: Tensor, p: float, training: bool, inplace: bool, alpha: float, shared: bool, layout: str = ""
) -> Tensor:
    if inplace:
        raise ArgumentTypeError(refused_option(name, "inplace"))
    if not 0 <= p <= 1:
        raise ValueError(f"{name}: p is a probability, got {p}")
    x = as_tensor(x)
    drawn = training and p > 0
    if (layout and x.ndim != layout.count(",") + 1) or (drawn and shared and x.ndim < 2):
        raise ShapeError(f"{name}: expected x {layout or '(N, ..., C)'}, got {x.shape}")
    if not drawn:
        return x
    return apply(AlphaDropout(p, alpha, shared), x)
