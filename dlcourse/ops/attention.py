"""Attention (lecture 13; Vaswani et al. 2017)."""

from typing import Any

from dlcourse import backend
from dlcourse.autograd import Function, Tensor, apply, as_tensor, is_grad_enabled
from dlcourse.autograd.function import unbroadcast
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import attention as kernels
from dlcourse.backend.precision import accumulation_dtype, is_floating
from dlcourse.errors import ShapeError

__all__ = ["scaled_dot_product_attention"]


class Attention(Function):
    """Y = softmax(Q K^T / sqrt(d) where visible) V, per head.

    With P = softmax(S), S = Q K^T / sqrt(d): dV = P^T dY, dP = dY V^T, dS = P (dP - rowsum(dP P)),
    dQ = dS K / sqrt(d), dK = dS^T Q / sqrt(d). Shapes: Q (N, heads, T, d), K and V (N, heads, S, d).
    """

    refuses_whole = True

    attend = kernels.attention

    def __init__(self, mask: Array, causal: bool, dropout: float):
        self.mask, self.causal, self.dropout = mask, causal, dropout

    def forward(self, q: Array, k: Array, v: Array) -> Array:
        dropout_mask = None
        if self.dropout:
            shape = (*q.shape[:3], k.shape[2])
            drawn = backend.random.bernoulli(shape, 1 - self.dropout, "dropout", backend.of(q))
            dropout_mask = drawn.astype(accumulation_dtype(q.dtype))
            dropout_mask *= 1 / (1 - self.dropout)
        self.q, self.k, self.v, self.dropout_mask = q, k, v, dropout_mask
        y, self.saved = self.attend(q, k, v, self.mask, self.causal, dropout_mask)
        return y

    def backward(self, dout: Array) -> tuple:
        return kernels.attention_grad(
            dout, self.q, self.k, self.v, self.mask, self.causal, self.dropout_mask, self.saved
        )


class BiasedAttention(Attention):
    """Y = softmax(Q K^T / sqrt(d) + B where visible) V for a B that broadcasts and learns: dB = P (dP - rowsum(dP P)),
    summed over the axes along which B was repeated. Both passes are the reference's, which keeps P."""

    def __init__(self, causal: bool, dropout: float):
        super().__init__(None, causal, dropout)

    def forward(self, q: Array, k: Array, v: Array, bias: Array) -> Array:  # type: ignore[override]  # one input more
        self.mask, self.attend = bias, kernels.attention.reference
        return super().forward(q, k, v)

    def backward(self, dout: Array) -> tuple:
        dbias = kernels.attention_scores_grad(dout, self.v, self.dropout_mask, self.saved)
        known = self.q, self.k, self.v, self.mask, self.causal, self.dropout_mask, self.saved
        grads = kernels.attention_grad.reference(dout, *known)
        return *grads, unbroadcast(dbias, self.mask.shape).astype(self.mask.dtype, copy=False)


def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Any = None, *, causal: bool = False, dropout: float = 0.0
) -> Tensor:
    """Mix the values v by how well their keys fit each query; masks are those of
    ``torch.nn.functional.scaled_dot_product_attention``.

    Args:
        q: (N, heads, T, d), or (N, T, d) of one head.
        k, v: (N, heads, S, d), or (N, S, d).
        mask: what broadcasts to (N, heads, T, S), or (N, T, S). Booleans: True where a query attends to a key. Floats:
            added to the scores, so -inf hides a key; one that requires a gradient gets it, as a learned bias does. A
            query that sees no key gets zeros.
        causal: query t sees keys up to t + S - T, of those that the mask leaves: the last query sees all. (PyTorch's
            ``is_causal`` ends with key t; both are one where T = S.)
        dropout: probability of dropping a weight.
    Raises:
        ShapeError: the shapes do not fit, or the mask is of whole numbers, which could mean either.
    """
    if q.ndim == k.ndim == v.ndim == 3:
        mask = None if mask is None else on_device(q, mask)
        mask = mask[:, None] if mask is not None and mask.ndim == 3 else mask
        q, k, v = (x[:, None] for x in (q, k, v))
        return scaled_dot_product_attention(q, k, v, mask, causal=causal, dropout=dropout)[:, 0]
    if q.ndim != 4 or k.shape != v.shape or q.shape[:2] != k.shape[:2] or q.shape[3] != k.shape[3]:
        raise ShapeError(
            f"attention: expected q (N, heads, T, d) and k, v (N, heads, S, d), got {q.shape}, {k.shape}, {v.shape}"
        )
    if mask is None:
        return apply(Attention(None, causal, dropout), q, k, v)
    q, mask = as_tensor(q), on_device(q, mask)
    scores = (*q.shape[:3], k.shape[2])
    if mask.dtype != bool and not is_floating(mask.dtype):
        raise ShapeError(
            f"attention: a mask is booleans, True where a query attends to a key, or floats that are added to the "
            f"scores, got {mask.dtype}; use mask.astype(bool)"
        )
    sizes = zip(mask.shape[::-1], scores[::-1], strict=False)
    if mask.ndim > 4 or any(given not in (1, size) for given, size in sizes):
        raise ShapeError(f"attention: expected a mask that broadcasts to (N, heads, T, S) = {scores}, got {mask.shape}")
    if mask.requires_grad and is_grad_enabled():
        return apply(BiasedAttention(causal, dropout), q, k, v, mask)
    array = mask.data if mask.dtype == bool else mask.data.astype(accumulation_dtype(q.dtype), copy=False)
    return apply(Attention(array, causal, dropout), q, k, v)


def on_device(x: Tensor, given: Any) -> Tensor:
    """A mask as a tensor where x lies; one that is a tensor already keeps its graph."""
    if isinstance(given, Tensor):
        return given
    return Tensor(backend.of(as_tensor(x).data).asarray(given))
