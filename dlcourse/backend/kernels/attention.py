"""Scaled dot-product attention and its gradient."""

from typing import Any

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import kernel
from dlcourse.backend.kernels.half import in_float32


class Weights:
    """What :func:`attention` keeps for its gradient: P (N, heads, T, S). An override may keep something of its own in
    this place; it goes to the gradient of the same device."""

    def __init__(self, p: Array):
        self.p = p


@kernel
def attention(
    q: Array, k: Array, v: Array, mask: Array | None, causal: bool, dropout_mask: Array | None
) -> tuple[Array, Any]:
    """P = softmax(q k^T / sqrt(d)), y = (P M) v with the dropout mask M.

    Args:
        q: (N, heads, T, d).
        k, v: (N, heads, S, d).
        mask: what broadcasts to (N, heads, T, S): booleans, False hides a key; or floats, which are added to the
            scores, -inf hides a key. A query that sees no key gets zeros.
        causal: position t sees keys up to t + S - T only.
        dropout_mask: factors (N, heads, T, S) of dropout, 0 or 1 / (1 - p).
    Returns:
        y (N, heads, T, d), and what the gradient needs.
    """
    xp = array_module(q)
    scores = q @ k.swapaxes(-1, -2) * (q.shape[-1] ** -0.5)
    if mask is not None:
        scores = xp.where(mask, scores, -xp.inf) if mask.dtype == bool else scores + mask
    if causal:
        t, s = scores.shape[-2:]
        scores = xp.where(xp.tri(t, s, s - t, dtype=bool), scores, -xp.inf)
    top = scores.max(axis=-1, keepdims=True) if scores.shape[-1] else xp.zeros((*scores.shape[:-1], 1), scores.dtype)
    p = xp.exp(scores - xp.where(xp.isfinite(top), top, 0))
    totals = p.sum(axis=-1, keepdims=True)
    p = (p / xp.where(totals == 0, 1, totals)).astype(q.dtype)
    return (p if dropout_mask is None else p * dropout_mask) @ v, Weights(p)


@kernel
def attention_with_weights(
    q: Array, k: Array, v: Array, mask: Array | None, causal: bool, dropout_mask: Array | None
) -> tuple[Array, Any]:
    """:func:`attention` that keeps P: its second result is :class:`Weights`."""
    return attention.reference(q, k, v, mask, causal, dropout_mask)


@kernel
def attention_grad(
    dout: Array, q: Array, k: Array, v: Array, mask: Array | None, causal: bool, dropout_mask: Array | None, saved: Any
) -> tuple[Array, Array, Array]:
    """dv = (P M)^T dy, dP = M dy v^T, dS = P (dP - sum dP P), dq = dS k / sqrt(d), dk = dS^T q / sqrt(d).

    Args:
        dout: dy (N, heads, T, d).
        q, k, v, mask, causal, dropout_mask: those of the forward pass.
        saved: its second result.
    """
    p = saved.p
    dv = (p if dropout_mask is None else p * dropout_mask).swapaxes(-1, -2) @ dout
    ds = attention_scores_grad(dout, v, dropout_mask, saved) * (q.shape[-1] ** -0.5)
    return ds @ k, ds.swapaxes(-1, -2) @ q, dv


@in_float32
def attention_scores_grad(dout: Array, v: Array, dropout_mask: Array | None, saved: Weights) -> Array:
    """dS = P (dP - sum dP P) of the scores, (N, heads, T, S), from the weights that the reference saved."""
    dp = dout @ v.swapaxes(-1, -2)
    if dropout_mask is not None:
        dp = dp * dropout_mask
    return saved.p * (dp - (dp * saved.p).sum(axis=-1, keepdims=True))
