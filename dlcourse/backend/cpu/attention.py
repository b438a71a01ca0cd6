"""Attention, some samples at a time on each thread, so that all stays in the cache.

Results lie as (N, T, heads, d) and are returned as views (N, heads, T, d), and the three gradients side by side as
(N, T, 3, heads, d): so that the reshapes around attention, to the layout of the linear layers, copy nothing.
"""

from typing import Any

import numpy as np

from dlcourse.backend.cpu import threads
from dlcourse.backend.cpu.memory import scratch
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import attention as kernels
from dlcourse.backend.kernels import override
from dlcourse.backend.kernels.attention import AttentionSettings

PIECE_BYTES = 1 << 18


@override(kernels.attention, "cpu")
def attention(q: Array, k: Array, v: Array, settings: AttentionSettings) -> tuple[Array, Any]:
    mask, causal, dropout_mask, _ = settings
    y, p, hidden = places(q, k, v, causal)
    if mask is not None:
        mask = np.broadcast_to(mask, p.shape)

    def chunk(part: slice) -> None:
        scores = p[part]
        np.matmul(q[part], k[part].swapaxes(-1, -2), out=scores)
        scores *= q.shape[3] ** -0.5
        if mask is not None and mask.dtype == bool:
            np.copyto(scores, -np.inf, where=~mask[part])
        elif mask is not None:
            scores += mask[part]
        if hidden is not None:
            scores += hidden
        # A row that sees no key has -inf as its maximum; with 0 in its place the row's exponentials are all 0.
        top = scores.max(axis=-1, keepdims=True, initial=-np.inf)
        scores -= np.where(np.isfinite(top), top, 0)
        np.exp(scores, out=scores)
        totals = scores.sum(axis=-1, keepdims=True)
        scores /= np.where(totals == 0, 1, totals)
        if dropout_mask is not None:
            scores = np.multiply(scores, dropout_mask[part], out=scratch("attention", scores.shape, q.dtype))
        np.matmul(scores, v[part], out=y[part])

    threads.run(chunk, _pieces(p), blas=True)
    return y, kernels.Weights(p)


@override(kernels.attention_grad, "cpu")
def attention_grad(
    dout: Array, q: Array, k: Array, v: Array, settings: AttentionSettings, saved: Any
) -> tuple[Array, Array, Array]:
    p, (dq, dk, dv), dropout_mask = saved.p, grad_places(q, k, v), settings.dropout_mask

    def chunk(part: slice) -> None:
        weights, ds = p[part], scratch("attention", p[part].shape, q.dtype)
        if dropout_mask is not None:
            used = np.multiply(weights, dropout_mask[part], out=scratch("attention-kept", weights.shape, q.dtype))
        else:
            used = weights
        np.matmul(used.swapaxes(-1, -2), dout[part], out=dv[part])
        np.matmul(dout[part], v[part].swapaxes(-1, -2), out=ds)
        if dropout_mask is not None:
            ds *= dropout_mask[part]
        ds -= np.einsum("nhts,nhts->nht", ds, weights)[..., None]
        ds *= weights
        ds *= q.shape[-1] ** -0.5
        np.matmul(ds, k[part], out=dq[part])
        np.matmul(ds.swapaxes(-1, -2), q[part], out=dk[part])

    threads.run(chunk, _pieces(p), blas=True)
    return dq, dk, dv


def places(q: Array, k: Array, v: Array, causal: bool) -> tuple[Array, Array, Array | None]:
    """Room for y and P, and what hides the keys (T, S) that a query must not see, added to the scores."""
    (n, heads, steps, _), keys = q.shape, k.shape[2]
    y = np.empty((n, steps, heads, v.shape[3]), dtype=q.dtype).transpose(0, 2, 1, 3)
    p = np.empty((n, heads, steps, keys), dtype=q.dtype)
    if not causal:
        return y, p, None
    return y, p, np.where(np.tri(steps, keys, keys - steps, dtype=bool), 0, -np.inf).astype(q.dtype)


def grad_places(q: Array, k: Array, v: Array) -> tuple[Array, Array, Array]:
    """Room for dq, dk and dv."""
    if q.shape != k.shape:
        dq, dk, dv = (np.empty(array.shape, dtype=q.dtype) for array in (q, k, v))
        return dq, dk, dv
    n, heads, steps, width = q.shape
    return tuple(np.empty((n, steps, 3, heads, width), dtype=q.dtype).transpose(2, 0, 3, 1, 4))


def _pieces(p: Array) -> list[slice]:
    each = max(1, p.nbytes // max(1, len(p)))
    return threads.slices(len(p), max(1, PIECE_BYTES // each))
