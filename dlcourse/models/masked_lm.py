"""Transformers that read a text in both directions: one learns to fill in what is hidden, one tells texts apart
(lecture 14; Devlin et al. 2018, BERT)."""

from typing import Any, ClassVar

from dlcourse import backend, nn
from dlcourse.autograd import Parameter, Tensor
from dlcourse.backend import random
from dlcourse.backend.device import Array
from dlcourse.backend.precision import accumulation_dtype
from dlcourse.errors import ArgumentError, ShapeError, UserError
from dlcourse.models.transformer import TokenTransformer, drawn_table
from dlcourse.nn import init
from dlcourse.ops.linear import linear
from dlcourse.ops.loss import cross_entropy
from dlcourse.registry import register
from dlcourse.types import Count, Depth, Fraction, Probability

__all__ = ["MaskedLM", "TextClassifier"]

MASKED, REPLACED = 0.8, 0.1
"""Of the tokens to predict so many are hidden, and so many are others; the rest stay."""


class TextEncoder(TokenTransformer):
    """Base: embeddings of token and position, pre-norm encoder layers, norm: tokens (N, T) -> (N, T, width).

    There is one token more than the text has: the last stands for a hidden one.

    Args:
        in_shape: (T,), the longest text.
        out_features: of the data.
        vocab_size: V, how many tokens the text has.
        layers: encoder layers.
        heads: attention heads; a divisor of ``width``.
        width: length of a token's vector.
        dropout: probability of dropping an element of a branch, an embedding or an attention weight, in training.
    Raises:
        ShapeError: inputs are no sequences, or longer than T.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        vocab_size: int,
        layers: int,
        heads: int,
        width: int,
        dropout: float,
    ):
        super().__init__(in_shape, out_features)
        self.vocab_size = vocab_size
        self.token_embedding = drawn_table(vocab_size + 1, width)
        self.position_embedding = drawn_table(self.in_shape[0], width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(width, heads, 4 * width, dropout, "gelu", norm_first=True)
                for _ in range(layers)
            )
        )
        self.norm = nn.LayerNorm(width)

    def encode(self, x: Any) -> Tensor:
        """Vectors (N, T, width) of tokens (N, T), of which each knows all others."""
        length = x.shape[1]
        if length > self.in_shape[0]:
            raise ShapeError(f"{type(self).__name__}: expected at most {self.in_shape[0]} tokens, got {length}")
        places = self.position_embedding.weight[:length]
        return self.norm(self.blocks(self.dropout(self.token_embedding(x) + places)))


@register("model", "masked_lm")
class MaskedLM(TextEncoder):
    """Fills in hidden tokens from those on both sides: tokens (N, T) -> logits of each, (N, T, V).

    Its objective hides some of the tokens and is their mean cross-entropy. Of T tokens round(mask_share T) are chosen
    at random; of these 80 % are replaced by a token that stands for a hidden one, 10 % by any, and 10 % stay: so no
    vector may rest on its own token alone. The last layer shares the tokens' vectors. ``train.init_from`` gives the
    encoder to a ``text_classifier``. (Devlin et al. 2018.)

    Args:
        in_shape: (T,).
        out_features: V.
        layers, heads, width, dropout: of :class:`TextEncoder`.
        mask_share: the share of tokens to predict.
    """

    objective_units: ClassVar = {"loss": "nats"}

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        layers: Depth = 4,
        heads: Count = 4,
        width: Count = 128,
        dropout: Probability = 0.0,
        mask_share: Fraction = 0.15,
    ):
        super().__init__(in_shape, out_features, out_features, layers, heads, width, dropout)
        self.mask_share = mask_share
        self.bias = Parameter(init.zeros((self.out_features,)))

    def forward(self, x: Any) -> Tensor:
        return self._logits(self.encode(x))

    def _logits(self, h: Tensor) -> Tensor:
        return linear(h, self.token_embedding.weight[: self.vocab_size], self.bias)

    def next_logits(self, tokens: Array, state: Any = None) -> tuple[Tensor, Any]:
        raise UserError("masked_lm fills in hidden tokens from both sides; gpt and char_rnn go on with a text")

    def hidden(self, tokens: Array, step: Any) -> tuple[Array, Array]:
        """Tokens (N, T) with some replaced, and the places (N, M) of those that are to be predicted, ascending."""
        xp, (n, length) = backend.array_module(tokens), tokens.shape
        count = min(length, max(1, round(self.mask_share * length)))
        places = _smallest(random.uniform((n, length), "masked_lm/places", step), count)
        kind = random.uniform((n, count), "masked_lm/kinds", step)
        other = (random.uniform((n, count), "masked_lm/others", step) * self.vocab_size).astype(tokens.dtype)
        there = xp.take_along_axis(tokens, places, axis=1)
        put = xp.where(kind < MASKED, self.vocab_size, xp.where(kind < MASKED + REPLACED, other, there))
        changed = tokens.copy()
        changed[xp.arange(n)[:, None], places] = put
        return changed, places

    def objective(self, x: Tensor, y: Array, step: Any) -> Tensor:
        changed, places = self.hidden(x.data, step)
        rows = backend.array_module(places).arange(len(places))[:, None]
        logits = self._logits(self.encode(Tensor(changed))[rows, places])
        return cross_entropy(logits.to(dtype=accumulation_dtype(logits.dtype)), x.data[rows, places])


def _smallest(values: Array, count: int) -> Array:
    """The places (N, M), ascending, of the M smallest numbers of each row of (N, T), of equal ones the first.

    By counting: a captured step may not sort, for CuPy's sort waits for the device.
    """
    xp, (n, length) = backend.array_module(values), values.shape
    place = xp.arange(length)
    before = place < place[:, None]  # of the place of a row
    own, other = values[:, :, None], values[:, None, :]
    chosen = ((other < own) | ((other == own) & before)).sum(axis=2) < count
    slot = (chosen[:, None, :] & before).sum(axis=2)
    found = xp.empty((n, count + 1), dtype=place.dtype)
    found[xp.arange(n)[:, None], xp.where(chosen, slot, count)] = place  # the last column takes what is not chosen
    return found[:, :count]


@register("model", "text_classifier")
class TextClassifier(TextEncoder):
    """Tells texts apart: the mean of the encoder's vectors, then Linear: tokens (N, T) -> (N, out_features).

    Its encoder has the names that it has in :class:`MaskedLM`: ``train: {init_from: RUN, reinit: [head]}`` begins with
    what that learned from texts without labels.

    Args:
        in_shape: (T,), the longest text.
        out_features: number of classes.
        vocab_size: V, how many tokens the texts have, which the data say.
        layers, heads, width, dropout: of :class:`TextEncoder`.
    Raises:
        ArgumentError: the data have no tokens.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        vocab_size: int | None = None,
        layers: Depth = 4,
        heads: Count = 4,
        width: Count = 128,
        dropout: Probability = 0.0,
    ):
        if vocab_size is None:
            raise ArgumentError("text_classifier: the inputs of these data are no tokens of a text")
        super().__init__(in_shape, out_features, vocab_size, layers, heads, width, dropout)
        self.head = nn.Linear(width, self.out_features)

    def forward(self, x: Any) -> Tensor:
        return self.head(self.encode(x).mean(axis=1))
