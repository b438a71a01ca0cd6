"""Predict the next token of a text by a recurrence (lecture 11; Karpathy 2015, "The unreasonable effectiveness")."""

from typing import Any, Literal

from dlcourse import backend, nn
from dlcourse.autograd import Tensor
from dlcourse.backend.device import Array
from dlcourse.models.base import Model
from dlcourse.registry import register
from dlcourse.types import Count, Depth, Probability

__all__ = ["CharRNN"]

KINDS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


@register("model", "char_rnn")
class CharRNN(Model):
    """Embedding - recurrent layers - Linear at every step: tokens (N, T) -> logits of the next (N, T, out_features).

    Every sequence starts from state zero, unless ``train.carry_state`` says otherwise.

    Args:
        in_shape: (T,); any length is taken.
        out_features: V, how many tokens there are, in and out.
        kind: which recurrence.
        hidden: H, size of its state.
        layers: recurrent layers, one above the other.
        embedding: D, length of a token's vector.
        dropout: probability of dropping an output of a recurrent layer, in training.
    """

    takes_tokens = True

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        kind: Literal["rnn", "lstm", "gru"] = "lstm",
        hidden: Count = 256,
        layers: Depth = 1,
        embedding: Count = 64,
        dropout: Probability = 0.0,
    ):
        super().__init__(in_shape, out_features)
        self.embedding = nn.Embedding(self.out_features, embedding)
        self.recurrent = KINDS[kind](embedding, hidden, num_layers=layers, dropout=dropout)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(hidden, self.out_features)

    def forward(self, x: Any) -> Tensor:
        output, _ = self.recurrent(self.embedding(x))
        return self.linear(self.dropout(output))

    def initial_state(self, count: int) -> list[Tensor]:
        weight, shape = self.linear.weight.data, (self.recurrent.num_layers, count, self.recurrent.hidden_size)
        xp = backend.array_module(weight)
        return [Tensor(xp.zeros(shape, weight.dtype)) for _ in range(self.recurrent.states)]

    def forward_from(self, x: Any, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        output, after = self.recurrent(self.embedding(x), state[0] if len(state) == 1 else tuple(state))
        return self.linear(self.dropout(output)), list(after) if isinstance(after, tuple) else [after]

    def next_logits(self, tokens: Array, state: Any = None) -> tuple[Tensor, Any]:
        """The state is that of the recurrence, which goes on beyond the length of the sequences of the training."""
        output, state = self.recurrent(self.embedding(tokens), state)
        return self.linear(output[:, -1]), state
