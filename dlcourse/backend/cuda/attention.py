"""Attention on the GPU: batched cuBLASLt products, and a softmax kernel each way with scale and masks inside."""

import numpy as np

from dlcourse.backend.cuda.blas import gemm
from dlcourse.backend.cuda.program import NULL, name_of, program
from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import attention as kernels
from dlcourse.backend.kernels import override

WARPS = 4
"""Rows a block takes."""


@override(kernels.attention, "cuda")
def attention(
    q: Array, k: Array, v: Array, mask: Array | None, causal: bool, kept: Array | None
) -> tuple[Array, Array]:
    name, xp = name_of(q, k, v), array_module(q)
    if name is None or not q.size or not k.size or (kept is not None and kept.dtype != q.dtype):
        return kernels.attention.reference(q, k, v, mask, causal, kept)
    shape, steps, keys = (*q.shape[:3], k.shape[2]), q.shape[2], k.shape[2]
    p = gemm(_batch(q), _batch(k).swapaxes(1, 2))
    rows, visible = p.size // keys, NULL
    if mask is not None:
        visible = xp.ascontiguousarray(xp.broadcast_to(mask, shape)).astype(np.uint8)
    settings = np.int64(rows), np.int32(steps), np.int32(keys), p.dtype.type(q.shape[3] ** -0.5), np.int32(causal)
    factors, used = (NULL, NULL) if kept is None else (xp.ascontiguousarray(kept), xp.empty_like(p))
    _rows(f"attention_softmax_{name}", rows, (p, visible, factors, used, *settings))
    y = gemm(p if kept is None else used, _batch(v))
    return y.reshape(*q.shape[:3], v.shape[3]), p.reshape(shape)


@override(kernels.attention_grad, "cuda")
def attention_grad(
    dout: Array, q: Array, k: Array, v: Array, p: Array, kept: Array | None
) -> tuple[Array, Array, Array]:
    name, xp = name_of(dout, q, k, v, p), array_module(q)
    if name is None or not q.size or not k.size or (kept is not None and kept.dtype != p.dtype):
        return kernels.attention_grad.reference(dout, q, k, v, p, kept)
    dy, keys = _batch(dout), p.shape[3]
    p = _batch(p)
    ds = gemm(dy, _batch(v).swapaxes(1, 2))
    factors, used = (NULL, NULL) if kept is None else (xp.ascontiguousarray(kept), xp.empty_like(p))
    rows, scale = ds.size // keys, p.dtype.type(q.shape[3] ** -0.5)
    _rows(f"attention_softmax_grad_{name}", rows, (ds, p, factors, used, np.int64(rows), np.int32(keys), scale))
    dv = gemm((p if kept is None else used).swapaxes(1, 2), dy)
    dq, dk = gemm(ds, _batch(k)), gemm(ds.swapaxes(1, 2), _batch(q))
    return dq.reshape(q.shape), dk.reshape(k.shape), dv.reshape(v.shape)


def _batch(x: Array) -> Array:
    """(N, heads, T, d) as contiguous (N heads, T, d)."""
    return array_module(x).ascontiguousarray(x).reshape(-1, *x.shape[2:])


def _rows(name: str, rows: int, arguments: tuple) -> None:
    program("attention").launch(name, (-(-rows // WARPS),), (32, WARPS), arguments)
