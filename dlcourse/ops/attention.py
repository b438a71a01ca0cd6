"""Attention (lecture 13; Vaswani et al. 2017)."""

from typing import Any

from dlcourse import backend
from dlcourse.autograd import Function, Tensor, apply, as_tensor, is_grad_enabled
from dlcourse.autograd.function import unbroadcast, xp_of
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import attention as kernels
from dlcourse.backend.precision import accumulation_dtype, is_floating
from dlcourse.errors import ArgumentError, ShapeError
from dlcourse.ops.algebra import broadcast_to
from dlcourse.ops.linear import concatenate

__all__ = ["scaled_dot_product_attention"]


class Attention(Function):
    """Y = softmax(Q K^T / sqrt(d) where visible) V, per head.

    With P = softmax(S), S = Q K^T / sqrt(d): dV = P^T dY, dP = dY V^T, dS = P (dP - rowsum(dP P)),
    dQ = dS K / sqrt(d), dK = dS^T Q / sqrt(d). Shapes: Q (N, heads, T, d), K and V (N, heads, S, d).
    """

    refuses_whole = True

    keep_weights = False

    def __init__(self, mask: Array, causal: bool, dropout: float):
        self.mask, self.causal, self.dropout = mask, causal, dropout

    def forward(self, q: Array, k: Array, v: Array) -> Array:
        dropout_mask = None
        if self.dropout:  # of 1 all is dropped
            shape = (*q.shape[:3], k.shape[2])
            drawn = backend.random.bernoulli(shape, 1 - self.dropout, "dropout", backend.of(q))
            dropout_mask = drawn.astype(accumulation_dtype(q.dtype))
            dropout_mask *= 1 / (1 - self.dropout) if self.dropout < 1 else 0
        self.q, self.k, self.v = q, k, v
        self.settings = kernels.AttentionSettings(self.mask, self.causal, dropout_mask, self.keep_weights)
        y, self.saved = kernels.attention(q, k, v, self.settings)
        return y

    def backward(self, dout: Array) -> tuple:
        return kernels.attention_grad(dout, self.q, self.k, self.v, self.settings, self.saved)


class WeightedAttention(Attention):
    """Y = W V, and with ``give`` the weights W = P M themselves, with the dropout mask M, P = softmax(S + B).

    The bias B, a mask of floats that broadcasts, may learn: dP = M (dY V^T + dW), dS = P (dP - rowsum(dP P)), and dB is
    dS summed over the axes along which B was repeated; the rest as in :class:`Attention`.
    """

    compute_in_float32 = True
    keep_weights = True

    def __init__(self, mask: Array, causal: bool, dropout: float, give: bool):
        super().__init__(mask, causal, dropout)
        self.give = give

    def forward(self, q: Array, k: Array, v: Array, *bias: Array) -> Any:
        if bias:
            (self.mask,) = bias
        y = super().forward(q, k, v)
        if not self.give:
            return y
        p, factors = self.saved.p, self.settings.dropout_mask
        return y, p.copy() if factors is None else p * factors

    def backward(self, dout: Array | None, dweights: Array | None = None) -> tuple:
        biased = len(self.needs_input_grad) > 3
        if dweights is None and not biased:
            return super().backward(dout)
        p, factors = self.saved.p, 1 if self.settings.dropout_mask is None else self.settings.dropout_mask
        dv, dp = xp_of(p).zeros_like(self.v), 0 if dweights is None else dweights
        if dout is not None:
            dv, dp = (p * factors).swapaxes(-1, -2) @ dout, dp + dout @ self.v.swapaxes(-1, -2)
        dp = dp * factors
        ds = p * (dp - (dp * p).sum(axis=-1, keepdims=True))
        dbias = (unbroadcast(ds, self.mask.shape).astype(self.mask.dtype, copy=False),) if biased else ()
        ds = ds * self.q.shape[3] ** -0.5
        return ds @ self.k, ds.swapaxes(-1, -2) @ self.q, dv, *dbias


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
    causal: bool = False,
) -> Tensor:
    """softmax(Q K^T / sqrt(d)) V per head: the values mixed by how well their keys fit each query, as
    ``torch.nn.functional.scaled_dot_product_attention``.

    Args:
        query: (N, heads, T, d), or (N, T, d) of one head.
        key: (N, heads, S, d), or (N, S, d).
        value: (N, heads, S, e), or (N, S, e).
        attn_mask: what broadcasts to (N, heads, T, S), or (N, T, S). Booleans: True where a query attends to a key.
            Floats: added to the scores, so -inf hides a key; one that requires a gradient gets it, as a learned bias
            does. A query that sees no key gets zeros.
        dropout_p: probability of dropping a weight; 0 outside of training is the caller's affair.
        is_causal: query t sees keys up to t; without ``attn_mask``.
        scale: what Q K^T is multiplied by; 1 / sqrt(d) where left out.
        enable_gqa: keys and values may have fewer heads, each of which serves several neighboring ones of the queries.
        causal: query t sees keys up to t + S - T, of those that the mask leaves: as ``is_causal`` where T = S, else so
            that the last query sees the last key.
    Raises:
        ShapeError: the shapes do not fit, or the mask is of whole numbers, which could mean either.
        ValueError: ``dropout_p`` is no probability, or ``is_causal`` comes with a mask.
    Example:
        >>> x = dl.ones(1, 2, 3, 4)
        >>> F.scaled_dot_product_attention(x, x, x, is_causal=True).shape
        (1, 2, 3, 4)
    """
    if is_causal and attn_mask is not None:
        raise ArgumentError("attention: is_causal and attn_mask exclude each other; put both into the mask")
    if not 0 <= dropout_p <= 1:
        raise ArgumentError(f"attention: dropout_p is a probability, got {dropout_p}")
    q, k, v = (as_tensor(x) for x in (query, key, value))
    if q.ndim == k.ndim == v.ndim == 3:
        mask = None if attn_mask is None else on_device(q, attn_mask)
        mask = mask[:, None] if mask is not None and mask.ndim == 3 else mask
        settings: dict[str, Any] = {"scale": scale, "causal": causal}
        q, k, v = (x[:, None] for x in (q, k, v))
        return scaled_dot_product_attention(q, k, v, mask, dropout_p, is_causal, **settings)[:, 0]
    if enable_gqa and q.ndim == k.ndim == v.ndim == 4:
        k, v = for_heads(k, q.shape[1]), for_heads(v, q.shape[1])
    _check(q, k, v)
    width, own = q.shape[3], v.shape[3]
    factor = 1.0 if scale is None else scale * width**0.5
    if own < width:
        v = _widened(v, width)
    elif own > width:  # the kernels divide by the square root of the width that they see
        q, k, factor = _widened(q, own), _widened(k, own), factor * (own / width) ** 0.5
    q = q if factor == 1 else q * factor
    y, _ = attend(q, k, v, attn_mask, causal=causal, dropout=dropout_p, first=is_causal)
    return y[..., :own] if own < width else y


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Any = None,
    *,
    causal: bool = False,
    first: bool = False,
    dropout: float = 0.0,
    weights: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Attention of q (N, heads, T, d), k and v (N, heads, S, d); for mask and causal see
    :func:`scaled_dot_product_attention`.

    Args:
        first: query t sees keys up to t: causal, so that the first query sees the first key.
        weights: give the weights too.
    Returns:
        The output, and the weights (N, heads, T, S) after dropout, None where they are not wanted.
    """
    scores = (*q.shape[:3], k.shape[2])
    mask = None if mask is None else _checked_mask(q, mask, scores)
    if first and scores[2] == scores[3]:
        causal = True
    elif first:
        xp = backend.array_module(q.data)
        below = xp.tri(*scores[2:], dtype=bool)
        mask = Tensor(below) if mask is None else _both(mask, below)
    array, bias = None, []
    if mask is not None and mask.requires_grad and is_grad_enabled():
        bias = [mask]
    elif mask is not None:
        array = mask.data if mask.dtype == bool else mask.data.astype(accumulation_dtype(q.dtype), copy=False)
    settings = array, causal, dropout
    attention = WeightedAttention(*settings, weights) if bias or weights else Attention(*settings)
    found = apply(attention, q, k, v, *bias)
    return found if weights else (found, None)


def _check(q: Tensor, k: Tensor, v: Tensor) -> None:
    fits = q.ndim == k.ndim == v.ndim == 4
    if not fits or k.shape[:3] != v.shape[:3] or q.shape[:2] != k.shape[:2] or q.shape[3] != k.shape[3]:
        raise ShapeError(
            "attention: expected q (N, heads, T, d), k (N, heads, S, d) and v (N, heads, S, e), "
            f"got {q.shape}, {k.shape}, {v.shape}"
        )


def _checked_mask(q: Tensor, mask: Any, scores: tuple[int, ...]) -> Tensor:
    mask = on_device(q, mask)
    if mask.dtype != bool and not is_floating(mask.dtype):
        raise ShapeError(
            f"attention: a mask is booleans, True where a query attends to a key, or floats that are added to the "
            f"scores, got {mask.dtype}; use mask.astype(bool)"
        )
    sizes = zip(mask.shape[::-1], scores[::-1], strict=False)
    if mask.ndim > 4 or any(given not in (1, size) for given, size in sizes):
        raise ShapeError(f"attention: expected a mask that broadcasts to (N, heads, T, S) = {scores}, got {mask.shape}")
    return mask


def _both(mask: Tensor, seen: Array) -> Tensor:
    """The mask with what is not seen hidden too."""
    if mask.dtype == bool:
        return mask & seen
    xp = backend.array_module(seen)
    return mask + Tensor(xp.where(seen, 0, -xp.inf).astype(mask.dtype))


def _widened(x: Tensor, width: int) -> Tensor:
    """x with zeros behind its last axis up to that width."""
    rest = (*x.shape[:-1], width - x.shape[-1])
    return concatenate([x, Tensor(backend.array_module(x.data).zeros(rest, dtype=x.dtype))], axis=-1)


def for_heads(x: Tensor, heads: int) -> Tensor:
    """(N, few, S, d) -> (N, heads, S, d), each several times in a row."""
    n, few, steps, width = x.shape
    if not few or heads % few:
        raise ShapeError(f"attention: {heads} heads of queries do not share {few} of keys and values evenly")
    return broadcast_to(x[:, :, None], (n, few, heads // few, steps, width)).reshape(n, heads, steps, width)


def on_device(x: Tensor, given: Any) -> Tensor:
    """A mask as a tensor where x lies; one that is a tensor already keeps its graph."""
    if isinstance(given, Tensor):
        return given
    return Tensor(backend.of(as_tensor(x).data).asarray(given))
