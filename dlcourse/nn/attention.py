"""Multi-head attention."""

import functools
import math
import operator
from typing import Any

from dlcourse import backend
from dlcourse.autograd import Parameter, Tensor, as_tensor
from dlcourse.backend import random
from dlcourse.backend.precision import accumulation_dtype, is_floating
from dlcourse.errors import ArgumentError, ShapeError
from dlcourse.nn.linear import Linear
from dlcourse.nn.module import Module
from dlcourse.nn.sizes import check_sizes
from dlcourse.ops.attention import on_device, scaled_dot_product_attention
from dlcourse.ops.linear import linear, unbind

__all__ = ["MultiHeadAttention"]


class MultiHeadAttention(Module):
    """softmax(Q K^T / sqrt(d)) V in each of ``heads`` subspaces of width d = dim / heads, joined and projected.

    (N, T, dim) -> (N, T, dim). Q, K and V of a sequence are one product with ``in_proj_weight`` (3 dim, dim), as in
    ``torch.nn.MultiheadAttention``, whose names and initial distributions these are. (Vaswani et al. 2017.)

    Args:
        dim: width of the sequence, a multiple of ``heads``.
        heads: number of heads.
        causal: a position sees itself and those before it only.
        dropout: probability of dropping an attention weight in training.
    Example:
        >>> attention = nn.MultiHeadAttention(dim=8, heads=2, causal=True)
        >>> attention(dl.tensor(np.zeros((4, 5, 8), "float32"))).shape
        (4, 5, 8)
    """

    def __init__(self, dim: int, heads: int, *, causal: bool = False, dropout: float = 0.0):
        super().__init__()
        check_sizes("MultiHeadAttention", dim=dim, heads=heads)
        if heads < 1 or dim % heads:
            raise ArgumentError(f"MultiHeadAttention: dim {dim} does not fall into {heads} heads")
        self.dim, self.heads, self.causal, self.dropout = dim, heads, causal, dropout
        bound = math.sqrt(6 / (4 * dim))  # Glorot's for the (3 dim, dim) matrix as a whole
        values = random.next_generator("init/attention").uniform(-bound, bound, (3 * dim, dim))
        self.in_proj_weight = Parameter(values.astype("float32"))
        self.in_proj_bias = Parameter(0 * values[:, 0].astype("float32"))
        self.out_proj = Linear(dim, dim)
        if self.out_proj.bias is not None:
            self.out_proj.bias.data[...] = 0

    def forward(self, x: Tensor, *, padding_mask: Any = None, attn_mask: Any = None) -> Tensor:
        """Attend within x (N, T, dim).

        Both masks are those of ``torch.nn.MultiheadAttention``: booleans are True where a key is **hidden** (the
        function ``scaled_dot_product_attention`` has it the other way round, as in PyTorch), floats are added to the
        scores. A query that sees no key gets the output's bias alone.

        Args:
            padding_mask: (N, T), True where a position is padding that no query may look at (PyTorch's
                ``key_padding_mask``).
            attn_mask: (T, T), (N heads, T, T) or what broadcasts to (N, heads, T, T), by query and key; a float tensor
                that requires a gradient gets it.
        Raises:
            ShapeError: the shapes do not fit, or a mask is of whole numbers, which could mean either.
        """
        x = as_tensor(x)
        if x.ndim != 3 or x.shape[2] != self.dim:
            raise ShapeError(f"MultiHeadAttention: expected x (N, T, {self.dim}), got {x.shape}")
        n, t, _ = x.shape
        width = self.dim // self.heads
        # (N, T, 3, heads, d) -> (3, N, heads, T, d)
        qkv = linear(x, self.in_proj_weight, self.in_proj_bias).reshape(n, t, 3, self.heads, width)
        q, k, v = unbind(qkv.transpose(2, 0, 3, 1, 4))
        mask = self._mask(x, padding_mask, attn_mask)
        drop = self.dropout if self.training else 0.0
        y = scaled_dot_product_attention(q, k, v, mask, causal=self.causal, dropout=drop)
        return self.out_proj(y.transpose(0, 2, 1, 3).reshape(n, t, self.dim))

    def _mask(self, x: Tensor, padding_mask: Any, attn_mask: Any) -> Tensor | None:
        """Both masks as the one that ``scaled_dot_product_attention`` takes, (N or 1, heads or 1, T or 1, T)."""
        n, t, _ = x.shape
        masks = []
        if padding_mask is not None:
            masks.append(_hiding("padding_mask", x, padding_mask))
            if masks[0].shape != (n, t):
                raise ShapeError(f"MultiHeadAttention: expected padding_mask {(n, t)}, got {masks[0].shape}")
            masks[0] = masks[0].reshape(n, 1, 1, t)
        if attn_mask is not None:
            mask = _hiding("attn_mask", x, attn_mask)
            shapes = (t, t), (n * self.heads, t, t)
            if mask.ndim != 4 and mask.shape not in shapes:
                raise ShapeError(f"MultiHeadAttention: expected attn_mask {shapes[0]} or {shapes[1]}, got {mask.shape}")
            masks.append(mask.reshape(n, self.heads, t, t) if mask.ndim == 3 else mask)
        if all(mask.dtype == bool for mask in masks):
            return Tensor(~functools.reduce(operator.or_, (mask.data for mask in masks))) if masks else None
        return functools.reduce(operator.add, (_added(x, mask) for mask in masks))

    def flops(self, in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> int:
        n, t, dim = in_shape
        return 2 * n * t * 3 * dim * dim + 4 * n * t * t * dim


def _hiding(name: str, x: Tensor, mask: Any) -> Tensor:
    mask = on_device(x, mask)
    if mask.dtype != bool and not is_floating(mask.dtype):
        raise ShapeError(
            f"MultiHeadAttention: {name} is booleans, True where a key is hidden, or floats that are added to the "
            f"scores, got {mask.dtype}; use {name}.astype(bool)"
        )
    return mask


def _added(x: Tensor, mask: Tensor) -> Tensor:
    """What is added to the scores: -inf where booleans hide."""
    if mask.dtype != bool:
        return mask
    xp = backend.array_module(mask.data)
    return Tensor(xp.where(mask.data, -xp.inf, 0).astype(accumulation_dtype(x.dtype)))
