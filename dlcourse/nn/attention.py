"""Multi-head attention."""

import math
from typing import Any

from dlcourse import backend
from dlcourse.autograd import Parameter, Tensor
from dlcourse.backend import random
from dlcourse.errors import ArgumentError
from dlcourse.nn.linear import Linear
from dlcourse.nn.module import Module
from dlcourse.ops.attention import scaled_dot_product_attention
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
    """

    def __init__(self, dim: int, heads: int, *, causal: bool = False, dropout: float = 0.0):
        super().__init__()
        if heads < 1 or dim % heads:
            raise ArgumentError(f"MultiHeadAttention: dim {dim} does not fall into {heads} heads")
        self.dim, self.heads, self.causal, self.dropout = dim, heads, causal, dropout
        bound = math.sqrt(6 / (4 * dim))  # Glorot's for the (3 dim, dim) matrix as a whole
        values = random.next_generator("init/attention").uniform(-bound, bound, (3 * dim, dim))
        self.in_proj_weight = Parameter(values.astype("float32"))
        self.in_proj_bias = Parameter(0 * values[:, 0].astype("float32"))
        self.out_proj = Linear(dim, dim)
        self.out_proj.bias.data[...] = 0

    def forward(self, x: Tensor, padding_mask: Any = None) -> Tensor:
        """Attend within x (N, T, dim).

        Args:
            padding_mask: booleans (N, T), True where a position is padding that nobody may look at (PyTorch's
                ``key_padding_mask``).
        """
        n, t, _ = x.shape
        width = self.dim // self.heads
        # (N, T, 3, heads, d) -> (3, N, heads, T, d)
        qkv = linear(x, self.in_proj_weight, self.in_proj_bias).reshape(n, t, 3, self.heads, width)
        q, k, v = unbind(qkv.transpose(2, 0, 3, 1, 4))
        visible = None
        if padding_mask is not None:
            array = padding_mask.data if isinstance(padding_mask, Tensor) else padding_mask
            visible = ~backend.of(x.data).asarray(array).astype(bool)[:, None, None, :]
        drop = self.dropout if self.training else 0.0
        y = scaled_dot_product_attention(q, k, v, visible, causal=self.causal, dropout=drop)
        return self.out_proj(y.transpose(0, 2, 1, 3).reshape(n, t, self.dim))

    def flops(self, in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> int:
        n, t, dim = in_shape
        return 2 * n * t * 3 * dim * dim + 4 * n * t * t * dim

    def extra_repr(self) -> str:
        return f"dim={self.dim}, heads={self.heads}, causal={self.causal}, dropout={self.dropout}"
