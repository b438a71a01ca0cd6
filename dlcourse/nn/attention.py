"""Multi-head attention."""

import functools
import math
import operator
from typing import Any

import numpy as np

from dlcourse import backend
from dlcourse.autograd import Parameter, Tensor, as_tensor, is_grad_enabled
from dlcourse.backend import random
from dlcourse.backend.device import Array
from dlcourse.backend.precision import accumulation_dtype, is_floating
from dlcourse.errors import ArgumentError, ShapeError
from dlcourse.nn.linear import Linear
from dlcourse.nn.module import Module
from dlcourse.nn.positions import RotaryEmbedding
from dlcourse.nn.sizes import check_batch_first, check_sizes
from dlcourse.ops.attention import attend, for_heads, on_device
from dlcourse.ops.linear import linear, unbind

__all__ = ["KeyValueCache", "MultiHeadAttention", "MultiheadAttention"]


def check_heads(width_name: str, width: int, heads: int) -> None:
    """Raise ArgumentError where vectors of this width do not fall into so many heads."""
    if heads < 1 or width < 1 or width % heads:
        raise ArgumentError(f"{width_name} {width} does not fall into {heads} heads")


def check_shared_heads(name: str, heads: int, kv_heads: int) -> None:
    """Raise ArgumentError where so many heads of keys and values are not shared evenly."""
    if kv_heads < 1 or heads % kv_heads:
        raise ArgumentError(f"{name}: {heads} heads do not share {kv_heads} of keys and values evenly")


class KeyValueCache:
    """Keys and values of the positions that a causal attention has seen, so that the next ones are computed alone.

    For generating, without gradients: ``attention(x, cache=cache)`` takes x as what follows the positions before.

    Attributes:
        length: how many positions it holds.
    """

    def __init__(self) -> None:
        self.length = 0
        self._held: list[Array] = []

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add those of new positions, (N, heads, T, d) each; returns all of them, (N, heads, length, d)."""
        start, self.length = self.length, self.length + keys.shape[2]
        if not self._held or self._held[0].shape[2] < self.length:
            self._held = [self._grown(place, new.data) for place, new in enumerate((keys, values))]
        for held, new in zip(self._held, (keys, values), strict=True):
            held[:, :, start : self.length] = new.data
        first, second = (Tensor(held[:, :, : self.length]) for held in self._held)
        return first, second

    def _grown(self, place: int, new: Array) -> Array:
        """A buffer with room for twice as many positions as there are, so that each is copied about once."""
        n, heads, _, width = new.shape
        buffer = backend.array_module(new).empty((n, heads, 2 * self.length, width), dtype=new.dtype)
        if self._held:
            old = self._held[place]
            buffer[:, :, : old.shape[2]] = old
        return buffer


class MultiheadAttention(Module):
    """softmax(Q K^T / sqrt(d)) V in each of ``num_heads`` subspaces of width d = embed_dim / num_heads, joined and
    projected: ``torch.nn.MultiheadAttention`` with ``batch_first=True``, which is the only layout here.

    Sequences are (N, T, embed_dim), or (T, embed_dim) without a batch. Q, K and V of one sequence are one product with
    ``in_proj_weight`` (3 embed_dim, embed_dim). (Vaswani et al. 2017.)

    Args:
        embed_dim: width of the queries and of the output, a multiple of ``num_heads``.
        num_heads: number of heads.
        dropout: probability of dropping an attention weight in training.
        bias: whether the projections have biases.
        kdim, vdim: widths of keys and values where they are others; the weights are then ``q_proj_weight``,
            ``k_proj_weight`` and ``v_proj_weight``.
        batch_first: True, the only layout here.
    Raises:
        ArgumentError: ``batch_first`` is False.
    Example:
        >>> attention, x = nn.MultiheadAttention(embed_dim=8, num_heads=2), dl.ones(4, 5, 8)
        >>> output, weights = attention(x, x, x)
        >>> output.shape, weights.shape
        ((4, 5, 8), (4, 5, 5))
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        *,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = True,
    ):
        super().__init__()
        check_batch_first(type(self).__name__, batch_first)
        self.batch_first = batch_first
        kdim, vdim = (embed_dim if width is None else width for width in (kdim, vdim))
        self._make(embed_dim, num_heads, dropout, bias, kdim, vdim)

    def _make(
        self, dim: int, heads: int, dropout: float, bias: bool, kdim: int, vdim: int, kv_heads: int | None = None
    ) -> None:
        name = type(self).__name__
        check_sizes(name, **dict(zip(self._sizes, (dim, heads), strict=True)), kdim=kdim, vdim=vdim)
        check_heads(f"{name}: {self._sizes[0]}", dim, heads)
        if min(kdim, vdim) < 1 or not isinstance(bias, bool):
            raise ArgumentError(f"{name}: expected kdim and vdim of at least 1, got {kdim=}, {vdim=}, {bias=}")
        if not 0 <= dropout <= 1:
            raise ArgumentError(f"{name}: dropout is a probability, got {dropout}")
        kv_heads = heads if kv_heads is None else kv_heads
        check_sizes(name, num_kv_heads=kv_heads)
        check_shared_heads(name, heads, kv_heads)
        self.embed_dim, self.num_heads, self.dropout, self.kdim, self.vdim = dim, heads, dropout, kdim, vdim
        self.num_kv_heads = kv_heads
        rows = dim + 2 * (dim // heads) * kv_heads
        self.in_proj_weight: Any = None
        self.q_proj_weight: Any = None
        self.k_proj_weight: Any = None
        self.v_proj_weight: Any = None
        rng = random.next_generator("init/attention")
        if kdim == vdim == dim:
            self.in_proj_weight = _glorot(rng, rows, dim)
        else:
            self.q_proj_weight, self.k_proj_weight, self.v_proj_weight = (
                _glorot(rng, dim, width) for width in (dim, kdim, vdim)
            )
        self.in_proj_bias = Parameter(np.zeros(rows, "float32")) if bias else None
        self.out_proj = Linear(dim, dim, bias=bias)
        if self.out_proj.bias is not None:
            self.out_proj.bias.data[...] = 0

    _sizes = "embed_dim", "num_heads"

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Any = None,
        need_weights: bool = True,
        attn_mask: Any = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend from each position of a sequence to those of another, or the same.

        In masks booleans are True where a key is **hidden** (the function ``scaled_dot_product_attention`` has it the
        other way round, as in PyTorch), floats are added to the scores. A query that sees no key gets the output's bias
        alone (PyTorch's gets NaN).

        Args:
            query: (N, T, embed_dim).
            key, value: (N, S, kdim) and (N, S, vdim).
            key_padding_mask: (N, S), True where a position is padding that no query may look at.
            need_weights: return the weights too; without them it is faster.
            attn_mask: (T, S), (N num_heads, T, S) or what broadcasts to (N, num_heads, T, S), by query and key; a float
                tensor that requires a gradient gets it.
            average_attn_weights: return the mean of the heads' weights, (N, T, S), else (N, num_heads, T, S).
            is_causal: query t sees keys up to t, of those that the masks leave. (PyTorch wants a mask beside it.)
        Returns:
            The output (N, T, embed_dim), and the weights after dropout, or None.
        Raises:
            ShapeError: the shapes do not fit, or a mask is of whole numbers, which could mean either.
        """
        same = query is key is value
        q, k, v = (as_tensor(x) for x in (query, key, value))
        if q.ndim == k.ndim == v.ndim == 2:
            padding = None if key_padding_mask is None else on_device(q, key_padding_mask)[None]
            x = q[None]
            others = (x, x) if same else (k[None], v[None])
            y, weights = self.forward(x, *others, padding, need_weights, attn_mask, average_attn_weights, is_causal)
            return y[0], None if weights is None else weights[0]
        self._check(q, k, v)
        (n, t, _), s = q.shape, k.shape[1]
        by_head = self._projected(q, k, v, same)
        mask = self._mask(q, (n, self.num_heads, t, s), key_padding_mask, attn_mask)
        drop = self.dropout if self.training else 0.0
        y, weights = attend(*self._shared(*by_head), mask, first=is_causal, dropout=drop, weights=need_weights)
        output = self.out_proj(y.transpose(0, 2, 1, 3).reshape(n, t, self.embed_dim))
        return output, weights if weights is None or not average_attn_weights else weights.mean(axis=1)

    def attention_weights(
        self, query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Any = None, *rest: Any, **masks: Any
    ) -> Tensor:
        """The weights (N, num_heads, T, S) alone, of what ``forward`` takes."""
        given = (
            dict(zip(("need_weights", "attn_mask", "average_attn_weights", "is_causal"), rest, strict=False)) | masks
        )
        given |= {"need_weights": True, "average_attn_weights": False}
        weights = MultiheadAttention.forward(self, query, key, value, key_padding_mask, **given)[1]
        assert weights is not None
        return weights

    def _check(self, q: Tensor, k: Tensor, v: Tensor) -> None:
        name, widths = type(self).__name__, (self.embed_dim, self.kdim, self.vdim)
        shapes = [x.shape for x in (q, k, v)]
        fits = all(x.ndim == 3 and x.shape[2] == width for x, width in zip((q, k, v), widths, strict=True))
        if not fits or k.shape[:2] != v.shape[:2] or len(q) != len(k):
            raise ShapeError(
                f"{name}: expected query (N, T, {widths[0]}), key (N, S, {widths[1]}) and value (N, S, {widths[2]}), "
                f"got {', '.join(map(str, shapes))}"
            )

    def _projected(self, q: Tensor, k: Tensor, v: Tensor, same: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Q, K and V by head, (N, heads, steps, d); of keys and values ``num_kv_heads``."""
        heads, few, width = self.num_heads, self.num_kv_heads, self.embed_dim // self.num_heads
        if few != heads:
            joined = linear(q, self.in_proj_weight, self.in_proj_bias).reshape(*q.shape[:2], heads + 2 * few, width)
            first, second, third = joined.transpose(0, 2, 1, 3).split([heads, few, few], dim=1)
            return first, second, third
        if same and self.in_proj_weight is not None:
            # (N, T, 3, heads, d) -> (3, N, heads, T, d)
            joined = linear(q, self.in_proj_weight, self.in_proj_bias).reshape(*q.shape[:2], 3, heads, width)
            first, second, third = unbind(joined.transpose(2, 0, 3, 1, 4))
            return first, second, third
        if self.in_proj_weight is not None:
            weights = unbind(self.in_proj_weight.reshape(3, self.embed_dim, self.embed_dim))
        else:
            weights = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        biases: tuple = (None,) * 3
        if self.in_proj_bias is not None:
            biases = unbind(self.in_proj_bias.reshape(3, self.embed_dim))
        first, second, third = (
            linear(x, weight, bias).reshape(*x.shape[:2], heads, width).transpose(0, 2, 1, 3)
            for x, weight, bias in zip((q, k, v), weights, biases, strict=True)
        )
        return first, second, third

    def _shared(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The same with a head of keys and values for each of the queries."""
        if self.num_kv_heads == self.num_heads:
            return q, k, v
        return q, for_heads(k, self.num_heads), for_heads(v, self.num_heads)

    _padding_name = "key_padding_mask"

    def _mask(self, x: Tensor, scores: tuple[int, ...], padding_mask: Any, attn_mask: Any) -> Tensor | None:
        """Both masks as the one that ``attend`` takes, (N or 1, heads or 1, T or 1, S)."""
        (n, _, t, s), name = scores, type(self).__name__
        masks = []
        if padding_mask is not None:
            masks.append(self._hiding(self._padding_name, x, padding_mask))
            if masks[0].shape != (n, s):
                raise ShapeError(f"{name}: expected {self._padding_name} {(n, s)}, got {masks[0].shape}")
            masks[0] = masks[0].reshape(n, 1, 1, s)
        if attn_mask is not None:
            mask = self._hiding("attn_mask", x, attn_mask)
            shapes = (t, s), (n * self.num_heads, t, s)
            if mask.ndim != 4 and mask.shape not in shapes:
                raise ShapeError(f"{name}: expected attn_mask {shapes[0]} or {shapes[1]}, got {mask.shape}")
            masks.append(mask.reshape(scores) if mask.ndim == 3 else mask)
        if all(mask.dtype == bool for mask in masks):
            return ~functools.reduce(operator.or_, masks) if masks else None
        return functools.reduce(operator.add, (_added(x, mask) for mask in masks))

    def _hiding(self, name: str, x: Tensor, mask: Any) -> Tensor:
        mask = on_device(x, mask)
        if mask.dtype != bool and not is_floating(mask.dtype):
            raise ShapeError(
                f"{type(self).__name__}: {name} is booleans, True where a key is hidden, or floats that are added to "
                f"the scores, got {mask.dtype}; use {name}.astype(bool)"
            )
        return mask

    def flops(self, in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> int:
        *n, t, dim = in_shape
        rows = dim + 2 * (dim // self.num_heads) * self.num_kv_heads  # of the projection
        return math.prod(n) * (2 * t * rows * dim + 4 * t * t * dim)


class MultiHeadAttention(MultiheadAttention):
    """:class:`MultiheadAttention` within one sequence, (N, T, dim) -> (N, T, dim), which gives the output alone.

    With ``num_kv_heads`` neighboring heads of queries share one head of keys and values (grouped queries, Ainslie et
    al. 2023; all of them one: Shazeer 2019), so that a cache is smaller: as ``scaled_dot_product_attention`` with
    ``enable_gqa``. The rows of ``in_proj_weight`` are then those of the queries, dim, and of keys and values,
    num_kv_heads dim / heads each.

    Args:
        dim: width of the sequence, a multiple of ``heads``.
        heads: number of heads.
        causal: a position sees itself and those before it only.
        dropout: probability of dropping an attention weight in training.
        bias: whether the projections have biases.
        num_kv_heads: heads of keys and values, a divisor of ``heads``; as many where left out.
        rotary: turns queries and keys by their positions.
    Raises:
        ArgumentError: the sizes do not fit.
    Example:
        >>> attention = nn.MultiHeadAttention(dim=8, heads=2, causal=True)
        >>> attention(dl.tensor(np.zeros((4, 5, 8), "float32"))).shape
        (4, 5, 8)
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        causal: bool = False,
        dropout: float = 0.0,
        bias: bool = True,
        num_kv_heads: int | None = None,
        rotary: RotaryEmbedding | None = None,
    ):
        self._make(dim, heads, dropout, bias, dim, dim, num_kv_heads)
        self.dim, self.heads, self.causal = dim, heads, causal
        if rotary is not None and rotary.dim * heads != dim:
            raise ArgumentError(f"MultiHeadAttention: heads are {dim // heads} wide, and rotary turns {rotary.dim}")
        self.rotary = rotary

    _sizes = "dim", "heads"
    _padding_name = "padding_mask"

    def forward(  # type: ignore[override]  # of one sequence
        self, x: Tensor, *, padding_mask: Any = None, attn_mask: Any = None, cache: KeyValueCache | None = None
    ) -> Tensor:
        """Attend within x (N, T, dim).

        Args:
            padding_mask: (N, T), True where a position is padding that no query may look at.
            attn_mask: (T, T), (N heads, T, T) or what broadcasts to (N, heads, T, T), by query and key.
            cache: of the positions before x, which x sees too; x is added to it.
        Raises:
            ShapeError: the shapes do not fit, or a mask is of whole numbers, which could mean either.
            ArgumentError: a cache beside masks, where gradients are wanted, or without ``causal``.
        """
        x = as_tensor(x)
        if x.ndim != 3 or x.shape[2] != self.dim:
            raise ShapeError(f"MultiHeadAttention: expected x (N, T, {self.dim}), got {x.shape}")
        if cache is not None:
            return self._continued(x, cache, padding_mask, attn_mask)
        return super().forward(x, x, x, padding_mask, False, attn_mask, is_causal=self.causal)[0]

    def attention_weights(  # type: ignore[override]  # of one sequence
        self, x: Tensor, *, padding_mask: Any = None, attn_mask: Any = None, cache: None = None
    ) -> Tensor:
        """The weights (N, heads, T, T) alone, of what ``forward`` takes."""
        return super().attention_weights(x, x, x, padding_mask, attn_mask=attn_mask, is_causal=self.causal)

    def _projected(self, q: Tensor, k: Tensor, v: Tensor, same: bool, start: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        """As of :class:`MultiheadAttention`, queries and keys turned by their positions from ``start`` on."""
        queries, keys, values = super()._projected(q, k, v, same)
        if self.rotary is not None:
            queries, keys = self.rotary(queries, start), self.rotary(keys, start)
        return queries, keys, values

    def _continued(self, x: Tensor, cache: KeyValueCache, *masks: Any) -> Tensor:
        if not self.causal or any(mask is not None for mask in masks) or is_grad_enabled():
            raise ArgumentError("MultiHeadAttention: a cache is for causal attention without masks, under no_grad()")
        queries, keys, values = self._projected(x, x, x, True, cache.length)
        y, _ = attend(*self._shared(queries, *cache.append(keys, values)), causal=True)
        return self.out_proj(y.transpose(0, 2, 1, 3).reshape(*x.shape))


def _glorot(rng: Any, rows: int, columns: int) -> Parameter:
    bound = math.sqrt(6 / (rows + columns))
    return Parameter(rng.uniform(-bound, bound, (rows, columns)).astype("float32"))


def _added(x: Tensor, mask: Tensor) -> Tensor:
    """What is added to the scores: -inf where booleans hide."""
    if mask.dtype != bool:
        return mask
    return x.new_zeros((), dtype=accumulation_dtype(x.dtype)).expand(mask.shape).masked_fill(mask, -math.inf)
