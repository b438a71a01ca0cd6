"""Attention (lecture 13; Vaswani et al. 2017)."""

from typing import Any

from dlcourse import backend
from dlcourse.autograd import Function, Tensor, apply
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import attention as kernels
from dlcourse.backend.precision import full
from dlcourse.errors import ShapeError

__all__ = ["scaled_dot_product_attention"]


class Attention(Function):
    """Y = softmax(Q K^T / sqrt(d) where visible) V, per head.

    With P = softmax(S), S = Q K^T / sqrt(d): dV = P^T dY, dP = dY V^T, dS = P (dP - rowsum(dP P)),
    dQ = dS K / sqrt(d), dK = dS^T Q / sqrt(d). Shapes: Q (N, heads, T, d), K and V (N, heads, S, d).
    """

    def __init__(self, mask: Array | None, causal: bool, dropout: float):
        self.mask, self.causal, self.dropout = mask, causal, dropout

    def forward(self, q: Array, k: Array, v: Array) -> Array:
        kept = None
        if self.dropout:
            shape = (*q.shape[:3], k.shape[2])
            drawn = backend.random.bernoulli(shape, 1 - self.dropout, "dropout", backend.of(q))
            kept = drawn.astype(full(q.dtype))
            kept *= 1 / (1 - self.dropout)
        self.q, self.k, self.v, self.kept = q, k, v, kept
        y, self.saved = kernels.attention(q, k, v, self.mask, self.causal, kept)
        return y

    def backward(self, dout: Array) -> tuple:
        return kernels.attention_grad(dout, self.q, self.k, self.v, self.mask, self.causal, self.kept, self.saved)


def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Any = None, *, causal: bool = False, dropout: float = 0.0
) -> Tensor:
    """Mix the values v by how well their keys fit each query.

    Args:
        q: (N, heads, T, d).
        k, v: (N, heads, S, d).
        mask: booleans that broadcast to (N, heads, T, S); False hides a key. Where all are hidden the result is zero.
        causal: query t sees keys up to t + S - T.
        dropout: probability of dropping a weight.
    Raises:
        ShapeError: the shapes do not fit.
    """
    if q.ndim != 4 or k.shape != v.shape or q.shape[:2] != k.shape[:2] or q.shape[3] != k.shape[3]:
        raise ShapeError(
            f"attention: expected q (N, heads, T, d) and k, v (N, heads, S, d), got {q.shape}, {k.shape}, {v.shape}"
        )
    if mask is not None:
        mask = backend.of(q.data).asarray(mask.data if isinstance(mask, Tensor) else mask).astype(bool)
    return apply(Attention(mask, causal, dropout), q, k, v)
