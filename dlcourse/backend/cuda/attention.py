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
    if name is None or not q.size or not k.size:
        return kernels.attention.reference(q, k, v, mask, causal, kept)
    shape, steps, keys = (*q.shape[:3], k.shape[2]), q.shape[2], k.shape[2]
    p = gemm(_batch(q), _batch(k).swapaxes(1, 2))
    rows, visible = p.size // keys, NULL
    if mask is not None:
        visible = xp.ascontiguousarray(xp.broadcast_to(mask, shape)).astype(np.uint8)
    settings = np.int64(rows), np.int32(steps), np.int32(keys), p.dtype.type(q.shape[3] ** -0.5), np.int32(causal)
    _rows(f"attention_softmax_{name}", rows, (p, visible, *settings))
    p = p.reshape(shape)
    y = gemm(_batch(p if kept is None else p * kept), _batch(v))
    return y.reshape(*q.shape[:3], v.shape[3]), p


@override(kernels.attention_grad, "cuda")
def attention_grad(
    dout: Array, q: Array, k: Array, v: Array, p: Array, kept: Array | None
) -> tuple[Array, Array, Array]:
    name, xp = name_of(dout, q, k, v, p), array_module(q)
    if name is None or not q.size or not k.size or (kept is not None and kept.dtype != p.dtype):
        return kernels.attention_grad.reference(dout, q, k, v, p, kept)
    dy, keys = _batch(dout), p.shape[3]
    dv = gemm(_batch(p if kept is None else p * kept).swapaxes(1, 2), dy)
    ds = gemm(dy, _batch(v).swapaxes(1, 2))
    rows, factors = ds.size // keys, NULL if kept is None else xp.ascontiguousarray(kept)
    arguments = ds, xp.ascontiguousarray(p), factors, np.int64(rows), np.int32(keys), p.dtype.type(q.shape[3] ** -0.5)
    _rows(f"attention_softmax_grad_{name}", rows, arguments)
    dq, dk = gemm(ds, _batch(k)), gemm(ds.swapaxes(1, 2), _batch(q))
    return dq.reshape(q.shape), dk.reshape(k.shape), dv.reshape(v.shape)


def _batch(x: Array) -> Array:
    """(N, heads, T, d) as contiguous (N heads, T, d)."""
    return array_module(x).ascontiguousarray(x).reshape(-1, *x.shape[2:])


def _rows(name: str, rows: int, arguments: tuple) -> None:
    program("attention").launch(name, (-(-rows // WARPS),), (32, WARPS), arguments)
