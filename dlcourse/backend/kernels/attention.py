"""Scaled dot-product attention and its gradient."""

from typing import Any, NamedTuple

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import kernel


class AttentionSettings(NamedTuple):
    """The settings of :func:`attention` and of its gradient.

    Attributes:
        mask: what broadcasts to (N, heads, T, S): booleans, False hides a key; or floats, which are added to the
            scores, -inf hides a key. A query that sees no key gets zeros.
        causal: position t sees keys up to t + S - T only.
        dropout_mask: factors (N, heads, T, S) of dropout, 0 or 1 / (1 - p).
        keep_weights: the forward pass' second result has to be :class:`Weights`.
    """

    mask: Array | None = None
    causal: bool = False
    dropout_mask: Array | None = None
    keep_weights: bool = False


class Weights:
    """What :func:`attention` keeps for its gradient: P (N, heads, T, S). An override may keep something of its own in
    this place; it goes to the gradient of the same device."""

    def __init__(self, p: Array):
        self.p = p


@kernel
def attention(q: Array, k: Array, v: Array, settings: AttentionSettings) -> tuple[Array, Any]:
    """P = softmax(q k^T / sqrt(d)), y = (P M) v with the dropout mask M.

    Args:
        q: (N, heads, T, d).
        k, v: (N, heads, S, d).
    Returns:
        y (N, heads, T, d), and what the gradient needs.
    """
    mask, causal, dropout_mask, _ = settings
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
def attention_grad(
    dout: Array, q: Array, k: Array, v: Array, settings: AttentionSettings, saved: Any
) -> tuple[Array, Array, Array]:
    """dv = (P M)^T dy, dP = M dy v^T, dS = P (dP - sum dP P), dq = dS k / sqrt(d), dk = dS^T q / sqrt(d).

    Args:
        dout: dy (N, heads, T, d).
        q, k, v, settings: those of the forward pass.
        saved: its second result.
    """
    p, factors = saved.p, 1 if settings.dropout_mask is None else settings.dropout_mask
    dv = (p * factors).swapaxes(-1, -2) @ dout
    dp = dout @ v.swapaxes(-1, -2) * factors
    ds = p * (dp - (dp * p).sum(axis=-1, keepdims=True)) * (q.shape[-1] ** -0.5)
    return ds @ k, ds.swapaxes(-1, -2) @ q, dv
