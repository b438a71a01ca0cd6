"""Attention by batched cuBLASLt products, and a softmax kernel each way with scale and masks inside.

The weights P (N, heads, T, S) are written down and saved. It takes any sizes, and with 16 bits or TF32 its products use
the tensor cores.
"""

from typing import Any

import numpy as np

from dlcourse.backend.cuda.blas import gemm
from dlcourse.backend.cuda.program import override, program, type_suffix
from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import attention as kernels
from dlcourse.backend.kernels import require
from dlcourse.backend.kernels.attention import AttentionSettings
from dlcourse.backend.layout import as_stacked_view
from dlcourse.backend.precision import accumulation_dtype

WARPS = 4
"""Rows a block takes."""


class Saved:
    """What the gradient needs: P, and Q, K and V as the products read them."""

    def __init__(self, p: Array, operands: tuple[Array, Array, Array]):
        self.p, self.operands = p, operands


@override(kernels.attention, half=True)
def attention(q: Array, k: Array, v: Array, settings: AttentionSettings) -> tuple[Array, Any]:
    name, xp, (mask, causal, dropout_mask, _) = require_kernels(q, k, v, settings), array_module(q), settings
    shape, steps, keys = (*q.shape[:3], k.shape[2]), q.shape[2], k.shape[2]
    joint = as_stacked_view((q, k, v))
    parts = (q, k, v) if joint is None else xp.ascontiguousarray(joint)  # one copy instead of three
    q, k, v = operands = tuple(_batch(part) for part in parts)
    scores = gemm(q, k.swapaxes(1, 2), dtype=accumulation_dtype(q.dtype))
    p = scores if scores.dtype == q.dtype else xp.empty(scores.shape, dtype=q.dtype)
    rows, visible, added = p.size // keys, None, None
    if mask is not None and mask.dtype == bool:
        visible = xp.ascontiguousarray(xp.broadcast_to(mask, shape)).astype(np.uint8)
    elif mask is not None:
        added = xp.ascontiguousarray(xp.broadcast_to(mask.astype(scores.dtype, copy=False), shape))
    numbers = np.int64(rows), np.int32(steps), np.int32(keys), scores.dtype.type(q.shape[2] ** -0.5), np.int32(causal)
    factors, used = (None, None) if dropout_mask is None else (xp.ascontiguousarray(dropout_mask), xp.empty_like(p))
    _rows(f"attention_softmax_{name}", rows, (scores, p, visible, added, factors, used, *numbers))
    y = gemm(p if dropout_mask is None else used, v)
    return y.reshape(*shape[:3], v.shape[2]), Saved(p, operands)


def require_kernels(q: Array, k: Array, v: Array, settings: AttentionSettings) -> str:
    """How the kernels for these arrays end; declines where there are none, or nothing to do."""
    factors = settings.dropout_mask
    require(not settings.keep_weights and (factors is None or factors.dtype == accumulation_dtype(q.dtype)))
    return type_suffix(q, k, v)


@override(kernels.attention_grad, half=True)
def attention_grad(
    dout: Array, q: Array, k: Array, v: Array, settings: AttentionSettings, saved: Any
) -> tuple[Array, Array, Array]:
    require(isinstance(saved, Saved))
    dropout_mask = settings.dropout_mask
    dout = dout.astype(q.dtype, copy=False)
    name, xp, p = type_suffix(dout, q, k, v), array_module(q), saved.p
    dy, keys = _batch(dout), p.shape[2]
    own_q, own_k, own_v = saved.operands
    dp = gemm(dy, own_v.swapaxes(1, 2), dtype=accumulation_dtype(q.dtype))
    ds = dp if dp.dtype == q.dtype else xp.empty(dp.shape, dtype=q.dtype)
    used: Any
    factors, used = (None, None) if dropout_mask is None else (xp.ascontiguousarray(dropout_mask), xp.empty_like(p))
    rows, scale = ds.size // keys, dp.dtype.type(q.shape[3] ** -0.5)
    _rows(f"attention_softmax_grad_{name}", rows, (dp, ds, p, factors, used, np.int64(rows), np.int32(keys), scale))
    dq, dk, dv = _together(q, k, v)
    gemm((p if dropout_mask is None else used).swapaxes(1, 2), dy, _batch(dv))
    gemm(ds, own_k, _batch(dq))
    gemm(ds.swapaxes(1, 2), own_q, _batch(dk))
    return dq, dk, dv


def _together(*arrays: Array) -> list[Array]:
    """Room for their gradients: in one array where they are alike, since a projection to all three wants it so."""
    xp, first = array_module(arrays[0]), arrays[0]
    if any(array.shape != first.shape for array in arrays):
        return [xp.empty(array.shape, dtype=array.dtype) for array in arrays]
    return list(xp.empty((len(arrays), *first.shape), dtype=first.dtype))


def _batch(x: Array) -> Array:
    """(N, heads, T, d) as contiguous (N heads, T, d)."""
    return array_module(x).ascontiguousarray(x).reshape(-1, *x.shape[2:])


def _rows(name: str, rows: int, arguments: tuple) -> None:
    program("attention").launch(name, (-(-rows // WARPS),), (32, WARPS), arguments)
