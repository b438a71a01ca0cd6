"""Attention on the GPU: block by block, or by products where those are faster and their weights have room.

Both ways belong to a forward pass and its gradient together, since what is kept between them differs.
"""

import math
from typing import Any

from dlcourse.backend import precision
from dlcourse.backend.cuda import attention_blocks, attention_products, autotune
from dlcourse.backend.cuda.program import type_suffix
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import attention as kernels
from dlcourse.backend.kernels import override
from dlcourse.backend.precision import accumulation_dtype

MIN_WORK = 1 << 25
"""Multiplications of Q K^T below which launches decide, of which blocks need 3 and products 8: no need to measure."""

MAX_WEIGHTS = 1 << 28
"""Bytes of P beyond which products are not looked at: a model keeps one P for each layer."""

ERROR = {"float32": 5e-5, "float64": 1e-10, "float16": 1e-2, "bfloat16": 5e-2}
TF32_ERROR = 1e-2
"""How far one way's dQ may be from the other's, as a share of its largest element: a few roundings of the type, or of
factors to TF32's 10 bits; the products round P and dS in between."""


@override(kernels.attention, "cuda", half=True)
def attention(q: Array, k: Array, v: Array, mask: Array | None, causal: bool, kept: Array | None) -> tuple[Array, Any]:
    if (
        type_suffix(q, k, v) is None
        or not q.size
        or not k.size
        or (kept is not None and kept.dtype != accumulation_dtype(q.dtype))
    ):
        return kernels.attention.reference(q, k, v, mask, causal, kept)
    way = attention_blocks if _by_blocks(q, k, v, mask, causal, kept) else attention_products
    return way.forward(q, k, v, mask, causal, kept)


@override(kernels.attention_grad, "cuda", half=True)
def attention_grad(
    dout: Array, q: Array, k: Array, v: Array, mask: Array | None, causal: bool, kept: Array | None, saved: Any
) -> tuple[Array, Array, Array]:
    if isinstance(saved, kernels.Weights):
        return kernels.attention_grad.reference(dout, q, k, v, mask, causal, kept, saved)
    dout = dout.astype(q.dtype, copy=False)
    if isinstance(saved, attention_blocks.Saved):
        return attention_blocks.backward(dout, q, k, v, mask, causal, kept, saved)
    return attention_products.backward(dout, q, k, v, kept, saved)


def _by_blocks(q: Array, k: Array, v: Array, mask: Array | None, causal: bool, kept: Array | None) -> bool:
    """Measured once for each setting, forward and gradient in one, where it is not clear beforehand."""
    if not attention_blocks.suits(q, k, v) or (mask is not None and mask.dtype != bool):
        return False
    scores = math.prod(q.shape[:3]) * k.shape[2]
    if scores * q.shape[3] < MIN_WORK or scores * accumulation_dtype(q.dtype).itemsize > MAX_WEIGHTS:
        return True

    def blocks() -> Array:
        y, saved = attention_blocks.forward(q, k, v, mask, causal, kept)
        return attention_blocks.backward(y, q, k, v, mask, causal, kept, saved)[0]

    def products() -> Array:
        y, saved = attention_products.forward(q, k, v, mask, causal, kept)
        return attention_products.backward(y, q, k, v, kept, saved)[0]

    dtype = q.dtype.name
    tf32 = dtype == "float32" and precision.tensor_float()
    masks = None if mask is None else mask.shape, causal, kept is not None
    key = "attention", q.device.id, q.shape, k.shape, q.strides, *masks, dtype, tf32
    error = TF32_ERROR if tf32 else ERROR[dtype]
    return autotune.chosen(key, blocks, lambda: {"products": products}, error) == autotune.OWN
