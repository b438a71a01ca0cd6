"""Attention block by block (Dao et al. 2022), nothing of size T x S in memory: a kernel forward, two for the gradients.

Saved for the gradient are y and the logarithm of each row's sum. Q, K, V and dY are read in any layout. Results have
the layout (N, T, heads, d), the three gradients side by side (N, T, 3, heads, d): the reshapes to the layout of the
linear layers around attention copy nothing. Where products are faster and their weights have room, they do it: an
implementation computes a forward pass and its gradient, since what is saved between them differs.
"""

import math
from typing import Any

import numpy as np

from dlcourse.backend import precision
from dlcourse.backend.cuda import attention_products, autotune
from dlcourse.backend.cuda.program import contiguous, override, program, type_suffix
from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import attention as kernels
from dlcourse.backend.kernels import require
from dlcourse.backend.kernels.attention import AttentionSettings
from dlcourse.backend.precision import accumulation_dtype

SIDE, THREADS = 64, 256
"""Rows and columns of a block of scores, and threads that make it: as ``attention_blocks.cuh`` has them."""

TOGETHER = 4
"""Elements that are read at once: widths, distances and addresses are multiples of it."""

WIDTHS = {"float32": (32, 64, 128), "float16": (32, 64, 128), "bfloat16": (32, 64, 128), "float64": (64,)}
"""Heads up to which there are kernels; float64, in which gradients are checked, has one."""

MIN_WORK = 1 << 25
"""Multiplications of Q K^T below which launches decide, of which blocks need 3 and products 8: no need to measure."""

MAX_WEIGHTS = 1 << 28
"""Bytes of P beyond which products are not looked at: a model keeps one P for each layer."""

ERROR = {"float32": 5e-5, "float64": 1e-10, "float16": 1e-2, "bfloat16": 5e-2}
TF32_ERROR = 1e-2
"""How far one implementation's dQ may be from the other's, as a share of its largest element: a few roundings of the
type, or of factors to TF32's 10 bits; the products round P and dS in between."""


class Saved:
    """What the gradient needs: y (N, heads, T, d), and log sum_s exp S_ts (N, heads, T), 0 where no key is
    seen."""

    def __init__(self, y: Array, log_sums: Array):
        self.y, self.log_sums = y, log_sums


@override(kernels.attention, half=True, priority=1)
def attention(q: Array, k: Array, v: Array, settings: AttentionSettings) -> tuple[Array, Any]:
    attention_products.require_kernels(q, k, v, settings)
    require(_is_faster(q, k, v, settings))
    return _attention(q, k, v, settings)


def _attention(q: Array, k: Array, v: Array, settings: AttentionSettings) -> tuple[Array, Saved]:
    xp = array_module(q)
    q, k, v = map(_readable, (q, k, v))
    n, heads, steps, width = q.shape
    y = xp.empty((n, steps, heads, width), dtype=q.dtype)
    log_sums = xp.empty(q.shape[:3], dtype=accumulation_dtype(q.dtype))
    arrays = q, k, v, settings.mask, *contiguous(settings.dropout_mask), y, log_sums
    flops = 4 * _scores(q, k, settings.causal) * width
    _launch("attention_forward", q, steps, (*arrays, *_layout(q, k, v), *_numbers(q, k, settings)), flops)
    return y.transpose(0, 2, 1, 3), Saved(y, log_sums)


@override(kernels.attention_grad, half=True, priority=1)
def attention_grad(
    dout: Array, q: Array, k: Array, v: Array, settings: AttentionSettings, saved: Any
) -> tuple[Array, Array, Array]:
    require(isinstance(saved, Saved))
    dout = dout.astype(q.dtype, copy=False)
    xp = array_module(q)
    given = q, k, v
    q, k, v, dout = map(_readable, (q, k, v, dout))
    n, heads, steps, width = q.shape
    keys = k.shape[2]
    if steps == keys:
        dq, dk, dv = xp.empty((n, steps, 3, heads, width), dtype=q.dtype).transpose(2, 0, 3, 1, 4)
    else:
        dq, dk, dv = (xp.empty((n, x.shape[2], heads, width), x.dtype).transpose(0, 2, 1, 3) for x in given)
    row_sums = xp.empty_like(saved.log_sums)
    read = q, k, v, settings.mask, *contiguous(settings.dropout_mask), dout
    apart = np.int64(dq.strides[2] // dq.itemsize)
    rest = apart, *_layout(q, k, v, dout), *_numbers(q, k, settings)
    flops = 2 * _scores(q, k, settings.causal) * width  # of one product; they make the scores again
    _launch("attention_queries_grad", q, steps, (*read, saved.y, saved.log_sums, row_sums, dq, *rest), 3 * flops)
    _launch("attention_keys_grad", q, keys, (*read, saved.log_sums, row_sums, dk, dv, *rest), 4 * flops)
    return dq, dk, dv


def _readable(x: Array) -> Array:
    """The array, copied where its rows have gaps or something in it does not start where four elements may."""
    whole = TOGETHER * x.itemsize
    fits = x.strides[3] == x.itemsize and not any(distance % whole for distance in (*x.strides[:3], x.data.ptr))
    return x if fits else array_module(x).ascontiguousarray(x)


def _layout(*arrays: Array) -> list[np.int64]:
    """Distances of batches, heads and rows, in elements."""
    return [np.int64(distance // array.itemsize) for array in arrays for distance in array.strides[:3]]


def _numbers(q: Array, k: Array, settings: AttentionSettings) -> tuple:
    """What all kernels end with. The mask is read as it lies: repeated along an axis it is not written out."""
    n, heads, steps, width = q.shape
    keys, strides = k.shape[2], (0,) * 4
    if settings.mask is not None:
        strides = array_module(q).broadcast_to(settings.mask, (n, heads, steps, keys)).strides
    sizes = heads, steps, keys, width, settings.causal
    return *map(np.int64, strides), *map(np.int32, sizes), accumulation_dtype(q.dtype).type(width**-0.5)


def _scores(q: Array, k: Array, causal: bool) -> int:
    """How many there are, of which a causal mask leaves out those that no query sees."""
    steps, keys = q.shape[2], k.shape[2]
    seen = min(steps, keys)
    each = seen * (keys - seen) + seen * (seen + 1) // 2 if causal else steps * keys
    return math.prod(q.shape[:2]) * each


def _launch(kernel: str, q: Array, rows: int, arguments: tuple, flops: int) -> None:
    """A block for every 64 of ``rows`` of each head."""
    name, dtype = type_suffix(q), q.dtype
    width = next(most for most in WIDTHS[dtype.name] if most >= q.shape[3])
    size, double = accumulation_dtype(dtype).itemsize, dtype == np.float64
    # A block of weights and the terms of two products, the rows of each 16 bytes longer: struct Room.
    depth, pad = (8 if double else 32), 16 // size
    shared = SIDE * (SIDE + pad + 2 * (depth + pad)) * size
    grid = (math.prod(q.shape[:2]) * -(-rows // SIDE),)
    launch = program(f"attention_blocks_{width}_{name}").launch
    launch(f"{kernel}_{width}_{name}", grid, (THREADS,), arguments, shared=shared, flops=flops)


def _is_faster(q: Array, k: Array, v: Array, settings: AttentionSettings) -> bool:
    """Measured once for each setting, forward and gradient in one, where it is not clear beforehand."""
    mask, causal, dropout_mask, _ = settings
    if not _suits(q, k, v) or (mask is not None and mask.dtype != bool):
        return False
    scores = math.prod(q.shape[:3]) * k.shape[2]
    if scores * q.shape[3] < MIN_WORK or scores * accumulation_dtype(q.dtype).itemsize > MAX_WEIGHTS:
        return True

    def own() -> Array:
        y, saved = _attention(q, k, v, settings)
        return attention_grad(y, q, k, v, settings, saved)[0]

    def products() -> Array:
        y, saved = attention_products.attention(q, k, v, settings)
        return attention_products.attention_grad(y, q, k, v, settings, saved)[0]

    dtype = q.dtype.name
    tf32 = dtype == "float32" and precision.tensor_float()
    masks = None if mask is None else mask.shape, causal, dropout_mask is not None
    key = "attention", q.device.id, q.shape, k.shape, q.strides, *masks, dtype, tf32
    error = TF32_ERROR if tf32 else ERROR[dtype]
    return autotune.choose(key, own, lambda: {"products": products}, error) == autotune.DEFAULT


def _suits(q: Array, k: Array, v: Array) -> bool:
    """Whether there are kernels for arrays of these sizes and types."""
    width, heads = q.shape[3], math.prod(q.shape[:2])
    most = WIDTHS.get(q.dtype.name, (0,))[-1]
    tiles = -(-max(q.shape[2], k.shape[2]) // SIDE)
    return v.shape[3] == width <= most and width % TOGETHER == 0 and heads * tiles < 2**31
