"""The decoder-only transformer (lecture 13; Vaswani et al. 2017; Radford et al. 2019, GPT-2)."""

from collections.abc import Callable
from functools import partial
from math import sqrt
from typing import Any, Literal

from dlcourse import backend, nn
from dlcourse.autograd import Tensor
from dlcourse.backend.device import Array
from dlcourse.errors import ShapeError
from dlcourse.models.transformer import STD, TokenTransformer, drawn_table
from dlcourse.nn import init
from dlcourse.nn.activation import gelu, silu
from dlcourse.ops.linear import linear
from dlcourse.registry import register
from dlcourse.types import Count, Depth, Probability

__all__ = ["GPT"]

NORMS = {"layer_norm": nn.LayerNorm, "rms_norm": nn.RMSNorm}


class TransformerBlock(nn.Module):
    """x <- x + attention(norm(x));  x <- x + W2 GELU(W1 norm(x)), the inner width four times the outer.

    With ``swiglu`` the second is x <- x + W2 (SiLU(W g) * (W1 g)), g = norm(x), with 8/3 of the width inside, so that
    the weights are as many.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        dropout: float,
        depth_scale: float,
        *,
        norm: Callable[[], nn.Module],
        bias: bool,
        swiglu: bool,
        num_kv_heads: int | None,
        rotary: nn.RotaryEmbedding | None,
    ):
        super().__init__()
        self.norm1, self.norm2 = norm(), norm()
        self.attention = nn.MultiHeadAttention(
            width, heads, causal=True, dropout=dropout, bias=bias, num_kv_heads=num_kv_heads, rotary=rotary
        )
        inner = 8 * width // 3 if swiglu else 4 * width
        self.gate = nn.Linear(width, inner, bias=bias) if swiglu else None
        self.expand, self.shrink = nn.Linear(width, inner, bias=bias), nn.Linear(inner, width, bias=bias)
        self.dropout = nn.Dropout(dropout)
        self.attention.in_proj_weight.data = init.normal(self.attention.in_proj_weight.shape, std=STD)
        for layer in filter(None, (self.gate, self.expand)):
            draw_linear(layer, STD)
        # Each block adds to the stream twice: scaled so, its variance does not grow with the depth (GPT-2).
        for layer in (self.attention.out_proj, self.shrink):
            draw_linear(layer, STD / depth_scale)

    def forward(self, x: Tensor, cache: nn.KeyValueCache | None = None) -> Tensor:
        x = x + self.dropout(self.attention(self.norm1(x), cache=cache))
        return x + self.dropout(self.shrink(self._expanded(self.norm2(x))))

    def _expanded(self, x: Tensor) -> Tensor:
        if self.gate is not None:
            return silu(self.gate(x)) * self.expand(x)
        if self.expand.bias is None:
            return gelu(self.expand(x), approximate="tanh")
        return self.expand(x, "gelu_tanh")


@register("model", "gpt")
class GPT(TokenTransformer):
    """Embeddings of token and position, causal blocks, norm, and the tokens' vectors again as the last layer:
    tokens (N, T) -> logits of the next one (N, T, out_features).

    Args:
        in_shape: (T,).
        out_features: V, how many tokens there are, in and out.
        layers: number of blocks.
        heads: attention heads; a divisor of ``width``.
        width: length of a token's vector.
        context: the longest sequence; T where left out.
        dropout: probability of dropping an element of a branch, an embedding or an attention weight, in training.
        tied: whether the last layer shares the tokens' vectors (Press & Wolf 2016).
        positions: ``learned`` vectors, as GPT-2 has them; ``sinusoidal`` ones, added to sqrt(width) times the token's
            (Vaswani et al. 2017); ``rotary``, turns of queries and keys (Su et al. 2021); ``none``: only the causal
            mask tells them apart.
        norm: ``layer_norm``, or ``rms_norm``, which has no mean and no bias (Zhang & Sennrich 2019).
        feed_forward: ``gelu``, or ``swiglu``, gated by a second layer (Shazeer 2020).
        num_kv_heads: heads of keys and values, a divisor of ``heads``: neighboring heads of queries share one
            (Ainslie et al. 2023). As many as heads where left out.
        bias: whether linear layers, attention and layer norms have biases.
    Raises:
        ShapeError: inputs are no sequences, or longer than the context.
        ValueError: the width does not fall into the heads, or the heads not into ``num_kv_heads``.
    """

    former_names = {"symbols.weight": "token_embedding.weight", "places.weight": "position_embedding.weight"}

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        layers: Depth = 4,
        heads: Count = 4,
        width: Count = 128,
        context: Count | None = None,
        dropout: Probability = 0.0,
        tied: bool = True,
        positions: Literal["learned", "sinusoidal", "rotary", "none"] = "learned",
        norm: Literal["layer_norm", "rms_norm"] = "layer_norm",
        feed_forward: Literal["gelu", "swiglu"] = "gelu",
        num_kv_heads: Count | None = None,
        bias: bool = True,
    ):
        super().__init__(in_shape, out_features)
        self.context = context or self.in_shape[0]
        self.token_embedding = drawn_table(self.out_features, width)
        self.position_embedding = drawn_table(self.context, width) if positions == "learned" else None
        self.position_encoding = nn.PositionalEncoding(width, self.context) if positions == "sinusoidal" else None
        self.dropout = nn.Dropout(dropout)
        options: dict[str, Any] = {
            "norm": partial(NORMS[norm], width, **({"bias": bias} if norm == "layer_norm" else {})),
            "bias": bias,
            "swiglu": feed_forward == "swiglu",
            "num_kv_heads": num_kv_heads,
            "rotary": nn.RotaryEmbedding(width // heads, self.context) if positions == "rotary" else None,
        }
        scale = sqrt(2 * layers)
        self.blocks = nn.Sequential(*(TransformerBlock(width, heads, dropout, scale, **options) for _ in range(layers)))
        self.norm = options["norm"]()
        self.head = None if tied else nn.Linear(width, self.out_features, bias=False)
        if self.head is not None:
            draw_linear(self.head, STD)

    def forward(self, x: Any) -> Tensor:
        return self._logits(self.norm(self.blocks(self._embedded(x))))

    def next_logits(self, tokens: Array, state: Any = None) -> tuple[Tensor, Any]:
        """With keys and values of the tokens before in a cache; where the context is full, that begins anew with the
        last half of it, so a token takes the same time wherever it stands."""
        caches, seen = state or (self._caches(), tokens[:, :0])
        if seen.shape[1] + tokens.shape[1] > self.context:
            seen = backend.array_module(tokens).concatenate([seen, tokens], axis=1)
            tokens = seen[:, -max(1, self.context // 2) :]
            caches, seen = self._caches(), tokens[:, :0]
        h = self._embedded(tokens, seen.shape[1])
        for block, cache in zip(self.blocks, caches, strict=True):
            h = block(h, cache)
        seen = backend.array_module(tokens).concatenate([seen, tokens], axis=1)
        return self._logits(self.norm(h[:, -1])), (caches, seen)

    def _caches(self) -> list[nn.KeyValueCache]:
        return [nn.KeyValueCache() for _ in self.blocks]

    def _embedded(self, x: Any, start: int = 0) -> Tensor:
        """Vectors of the tokens at the positions ``start``, ``start`` + 1, ..."""
        end = start + x.shape[1]
        if end > self.context:
            raise ShapeError(f"gpt: a sequence of {end} tokens is longer than the context of {self.context}")
        h = self.token_embedding(x)
        if self.position_embedding is not None:
            h = h + self.position_embedding.weight[start:end]
        elif self.position_encoding is not None:
            h = self.position_encoding(h * sqrt(self.token_embedding.dim), start)
        return self.dropout(h)

    def _logits(self, h: Tensor) -> Tensor:
        return linear(h, self.token_embedding.weight) if self.head is None else self.head(h)


def draw_linear(layer: nn.Linear, std: float) -> None:
    """Normal weights and bias 0, in place of PyTorch's default."""
    layer.weight.data = init.normal(layer.weight.shape, std=std)
    if layer.bias is not None:
        layer.bias.data = init.zeros(layer.bias.shape)
