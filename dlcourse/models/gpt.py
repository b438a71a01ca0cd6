"""The decoder-only transformer (lecture 13; Vaswani et al. 2017; Radford et al. 2019, GPT-2)."""

from math import sqrt
from typing import Any

from dlcourse import backend, nn
from dlcourse.autograd import Tensor
from dlcourse.backend.device import Array
from dlcourse.errors import ShapeError
from dlcourse.models.base import Model
from dlcourse.nn import init
from dlcourse.ops.linear import linear
from dlcourse.registry import register
from dlcourse.types import Count, Depth, Probability

__all__ = ["GPT"]

STD = 0.02
"""Of the initial weights, GPT-2's."""


class TransformerBlock(nn.Module):
    """x <- x + attention(norm(x));  x <- x + W2 GELU(W1 norm(x)), the inner width four times the outer."""

    def __init__(self, width: int, heads: int, dropout: float, depth_scale: float):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiHeadAttention(width, heads, causal=True, dropout=dropout)
        self.expand, self.shrink = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)
        self.attention.in_proj_weight.data = init.normal((3 * width, width), std=STD)
        draw_linear(self.expand, STD)
        # Each block adds to the stream twice: scaled so, its variance does not grow with the depth (GPT-2).
        for layer in (self.attention.out_proj, self.shrink):
            draw_linear(layer, STD / depth_scale)

    def forward(self, x: Tensor, cache: nn.KeyValueCache | None = None) -> Tensor:
        x = x + self.dropout(self.attention(self.norm1(x), cache=cache))
        return x + self.dropout(self.shrink(self.expand(self.norm2(x), "gelu_tanh")))


@register("model", "gpt")
class GPT(Model):
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
    Raises:
        ShapeError: inputs are no sequences, or longer than the context.
        ValueError: the width does not fall into the heads.
    """

    takes_tokens = True
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
    ):
        super().__init__(in_shape, out_features)
        if len(self.in_shape) != 1:
            raise ShapeError(f"gpt: an input is a sequence of tokens, (T,), got {self.in_shape}")
        self.context = context or self.in_shape[0]
        self.token_embedding = nn.Embedding(self.out_features, width)
        self.position_embedding = nn.Embedding(self.context, width)
        for table in (self.token_embedding, self.position_embedding):
            table.weight.data = init.normal(table.weight.shape, std=STD)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.Sequential(*(TransformerBlock(width, heads, dropout, sqrt(2 * layers)) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
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
        return self.dropout(self.token_embedding(x) + self.position_embedding.weight[start:end])

    def _logits(self, h: Tensor) -> Tensor:
        return linear(h, self.token_embedding.weight) if self.head is None else self.head(h)


def draw_linear(layer: nn.Linear, std: float) -> None:
    """Normal weights and bias 0, in place of PyTorch's default."""
    layer.weight.data = init.normal(layer.weight.shape, std=std)
    if layer.bias is not None:
        layer.bias.data = init.zeros(layer.bias.shape)
