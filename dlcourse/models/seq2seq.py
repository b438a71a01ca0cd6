"""The encoder-decoder with attention, for answers of another length than what is asked (lecture 12)."""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from dlcourse import backend, nn
from dlcourse.autograd import Tensor, as_tensor
from dlcourse.backend.device import Array
from dlcourse.backend.precision import accumulation_dtype
from dlcourse.errors import ShapeError
from dlcourse.models.base import Model
from dlcourse.ops.linear import concatenate, stack
from dlcourse.ops.loss import cross_entropy
from dlcourse.ops.softmax import softmax
from dlcourse.registry import register
from dlcourse.special_tokens import BOS, PAD
from dlcourse.types import Count, Probability

__all__ = ["Seq2Seq"]

KINDS = {"gru": (nn.GRU, nn.GRUCell), "lstm": (nn.LSTM, nn.LSTMCell)}


class AdditiveAttention(nn.Module):
    """a_j = softmax_j(v^T tanh(W s + U h_j)): how well each state h_j of the encoder fits the decoder's s. (Bahdanau et
    al. 2014.)"""

    def __init__(self, state: int, memory: int):
        super().__init__()
        self.query, self.key = nn.Linear(state, state, bias=False), nn.Linear(memory, state)
        self.score = nn.Linear(state, 1, bias=False)

    def forward(self, state: Tensor, keys: Tensor, hidden: Any) -> Tensor:
        """The weights (N, S) of a state (N, H) and keys U h (N, S, H); none where ``hidden``."""
        scores = self.score((self.query(state)[:, None] + keys).tanh())[..., 0]
        return softmax(scores.masked_fill(hidden, -np.inf), axis=1)


class DotAttention(nn.Module):
    """a_j = softmax_j(s^T U h_j / sqrt(H)). (Luong et al. 2015, "general"; the root: Vaswani et al. 2017.)"""

    def __init__(self, state: int, memory: int):
        super().__init__()
        self.key = nn.Linear(memory, state, bias=False)

    def forward(self, state: Tensor, keys: Tensor, hidden: Any) -> Tensor:
        """As of :class:`AdditiveAttention`."""
        scores = (keys @ state[..., None])[..., 0] * state.shape[1] ** -0.5
        return softmax(scores.masked_fill(hidden, -np.inf), axis=1)


ATTENTIONS = {"additive": AdditiveAttention, "dot": DotAttention}


@register("model", "seq2seq")
class Seq2Seq(Model):
    """A recurrence reads the input in both directions, another writes the answer and at each step looks back at it:

        h_1 ... h_S = encoder(x),                      s_0 = tanh(W [h_S forwards, h_1 backwards])
        a_i = attention(s_(i-1), h),                   c_i = sum_j a_ij h_j
        s_i = decoder(s_(i-1), [y_(i-1), c_i]),        p(y_i) = softmax(V [s_i, c_i])

    Tokens (N, S) -> logits (N, T, out_features), each step fed with the likeliest token of the one before (greedy), T
    being the length of the answers in training. Training feeds the true one (teacher forcing); its objective is
    -log p(y | x), in nats an answer. ``sequence_accuracy`` is the share of answers that are right from the first token
    to ``<eos>``, written greedily. Padding of inputs is not looked at, that of answers does not count. (Sutskever et
    al. 2014; Bahdanau et al. 2014.)

    Args:
        in_shape: (S,); any length is taken.
        out_features: V, how many tokens there are, those of :mod:`dlcourse.special_tokens` first.
        kind: which recurrence.
        hidden: H, size of the state of the decoder, and of each direction of the encoder.
        embedding: length of a token's vector.
        attention: how states are compared: ``additive`` (Bahdanau et al.), ``dot``; with ``none`` c_i is what s_0 is
            made of, so the whole input has to go through one vector.
        dropout: probability of dropping a number of a token's vector, or one that an answer's token is made of.
    Raises:
        ShapeError: inputs are no sequences.
    """

    takes_tokens = True
    answers = True
    tasks = ("classification",)
    objective_units = {"loss": "nats", "sequence_accuracy": ""}
    answer_steps: Array
    attention: Any

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        kind: Literal["gru", "lstm"] = "gru",
        hidden: Count = 128,
        embedding: Count = 32,
        attention: Literal["additive", "dot", "none"] = "additive",
        dropout: Probability = 0.0,
    ):
        super().__init__(in_shape, out_features)
        if len(self.in_shape) != 1:
            raise ShapeError(f"seq2seq: an input is a sequence of tokens, (S,), got {self.in_shape}")
        self.kind, (layer, cell) = kind, KINDS[kind]
        self.embedding = nn.Embedding(self.out_features, embedding)
        self.encoder = layer(embedding, hidden, bidirectional=True)
        self.bridge = nn.Linear(2 * hidden, hidden)
        self.attention = None if attention == "none" else ATTENTIONS[attention](hidden, 2 * hidden)
        self.decoder = cell(embedding + 2 * hidden, hidden)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(3 * hidden, self.out_features)
        self.register_buffer("answer_steps", np.array(self.in_shape[0]))

    def adapt(self, x: Array, y: Array) -> None:
        self.answer_steps[...] = y.shape[1]

    def forward(self, x: Any) -> Tensor:
        return self._greedy(x, int(self.answer_steps))[0]

    @property
    def looks(self) -> bool:
        return self.attention is not None

    def attend(self, x: Any) -> tuple[Array, Array]:
        """The greedy answers (N, T) and the weights (N, T, S) by which each of their tokens looks at the input."""
        logits, weights = self._greedy(x, int(self.answer_steps))
        return logits.data.argmax(axis=2), weights.data

    def objective(self, x: Tensor, y: Array, step: Any) -> Tensor:
        return self._cost(x, y)

    def objective_values(self, x: Tensor, y: Array, step: Any) -> dict[str, Tensor]:
        written = self._greedy(x, y.shape[1])[0].data.argmax(axis=2)
        right = ((written == y) | (y == PAD)).all(axis=1)
        return {"loss": self._cost(x, y), "sequence_accuracy": Tensor(right.astype("float32").mean())}

    def _cost(self, x: Any, y: Array) -> Tensor:
        xp = backend.array_module(y)
        before = xp.concatenate([xp.full_like(y[:, :1], BOS), y[:, :-1]], axis=1)
        features = [each for each, _ in self._steps(x, before.T)]
        logits = self._logits(stack(features, axis=1))
        return cross_entropy(logits, y, ignore_index=PAD, reduction="sum") / len(y)

    def _greedy(self, x: Any, count: int) -> tuple[Tensor, Tensor]:
        """Logits (N, T, V) and weights (N, T, S) of ``count`` steps, each fed with the likeliest token before."""
        tokens = as_tensor(x)
        before = [tokens.new_full((len(tokens),), BOS)]
        logits, weights = [], []
        for features, looked in self._steps(tokens, before):
            logits.append(self._logits(features))
            weights.append(looked)
            if len(logits) < count:
                before.append(logits[-1].argmax(axis=1))
        return stack(logits, axis=1), stack(weights, axis=1)

    def _logits(self, features: Tensor) -> Tensor:
        """Out of half precision, in which sums over an answer are coarse."""
        logits = self.head(self.dropout(features))
        return logits.to(dtype=accumulation_dtype(logits.dtype))

    def _steps(self, x: Any, before: Any) -> Iterator[tuple[Tensor, Tensor]]:
        """[s_i, c_i] (N, 3H) and the weights a_i (N, S) at each step.

        Args:
            before: the tokens y_(i-1) (N,) of the steps; more may be added meanwhile.
        """
        tokens = as_tensor(x)
        padding = tokens == PAD
        read, last = self.encoder(self._embedded(tokens), lengths=(~padding).sum(axis=1))
        last = last[0] if self.kind == "lstm" else last
        whole = concatenate([last[0], last[1]], axis=1)
        hidden = self.bridge(whole).tanh()
        state: Any = (hidden, hidden * 0) if self.kind == "lstm" else hidden
        keys = None if self.attention is None else self.attention.key(read)
        looked = read.new_zeros(tokens.shape)  # nowhere
        for token in before:
            context = whole
            if self.attention is not None:
                looked = self.attention(hidden, keys, padding)
                context = (looked[:, None] @ read)[:, 0]
            state = self.decoder(concatenate([self._embedded(token), context], axis=1), state)
            hidden = state[0] if self.kind == "lstm" else state
            yield concatenate([hidden, context], axis=1), looked

    def _embedded(self, tokens: Any) -> Tensor:
        return self.dropout(self.embedding(tokens))
