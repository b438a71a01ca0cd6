"""What transformers share: tables of vectors for tokens and positions, and heads that a width falls into."""

from collections.abc import Mapping
from typing import Any

from dlcourse import nn, registry
from dlcourse.errors import ShapeError
from dlcourse.models.base import Model
from dlcourse.nn import init
from dlcourse.nn.attention import check_heads, check_shared_heads

__all__ = ["TokenTransformer"]

STD = 0.02
"""Of the initial weights of GPT-2 and of the embeddings of BERT."""


class TokenTransformer(Model):
    """Base: an input is a sequence of tokens (T,).

    Args:
        in_shape: (T,).
        out_features: of the data.
    Raises:
        ShapeError: inputs are no sequences.
    """

    takes_tokens = True

    def __init__(self, in_shape: tuple[int, ...], out_features: int):
        super().__init__(in_shape, out_features)
        if len(self.in_shape) != 1:
            name = registry.name_of("model", type(self))
            raise ShapeError(f"{name}: an input is a sequence of tokens, (T,), got {self.in_shape}")

    @classmethod
    def check_settings(cls, settings: Mapping[str, Any]) -> None:
        check_attention(settings)


def check_attention(settings: Mapping[str, Any]) -> None:
    """Raise ArgumentError where the ``width`` of a model's settings does not fall into its ``heads``, or these do not
    share ``num_kv_heads``."""
    name, width, heads = (settings.get(key) for key in ("name", "width", "heads"))
    if width is not None and heads is not None:
        check_heads(f"{name}: width", width, heads)
        check_shared_heads(str(name), heads, settings.get("num_kv_heads") or heads)


def drawn_table(count: int, width: int) -> nn.Embedding:
    """Vectors of ``count`` tokens or positions, drawn from N(0, 0.02^2)."""
    table = nn.Embedding(count, width)
    table.weight.data = init.normal(table.weight.shape, std=STD)
    return table
