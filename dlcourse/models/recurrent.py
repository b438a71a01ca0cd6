"""Recurrent nets over sequences of numbers (lecture 10): the simple recurrence, LSTM and GRU."""

from typing import ClassVar, Literal

from dlcourse import nn
from dlcourse.models.sequence import Pool, SequenceModel, sequence_shape
from dlcourse.registry import register
from dlcourse.types import Count, Depth, Probability

__all__ = ["GRUModel", "LSTMModel", "RNNModel"]


class RecurrentModel(SequenceModel):
    """Base: recurrent layers, then a linear layer at every step or on what ``pool`` makes of the steps.

    Args:
        in_shape: (T, D); any length is taken.
        out_features: number of classes, or width of the target.
        hidden: H, size of the state.
        layers: recurrent layers, one above the other.
        dropout: probability of dropping an output of a recurrent layer, in training.
        pool: what of the steps goes into a single output: the last, or the mean or the maximum over all.
    """

    recurrence: ClassVar[type] = nn.LSTM

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        hidden: Count = 64,
        layers: Depth = 1,
        dropout: Probability = 0.0,
        pool: Pool = "last",
    ):
        self._build(in_shape, out_features, hidden, layers, dropout, pool)

    def _build(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        hidden: int,
        layers: int,
        dropout: float,
        pool: Pool,
        **options: str,
    ) -> None:
        """Make the layers; ``options`` are those of one recurrence alone."""
        _, width = sequence_shape(self.recurrence.__name__.lower(), in_shape)
        encoder = self.recurrence(width, hidden, num_layers=layers, dropout=dropout, **options)
        super().__init__(in_shape, out_features, encoder, hidden, pool, dropout)


@register("model", "lstm")
class LSTMModel(RecurrentModel):
    """Long short-term memory over numbers (N, T, D), then Linear: at every step where the data have a target at every
    step, else at the last one (or as ``pool`` says). For tokens see ``char_rnn``. (Hochreiter & Schmidhuber 1997.)
    """


@register("model", "gru")
class GRUModel(RecurrentModel):
    """Gated recurrent units over numbers (N, T, D), then Linear: at every step where the data have a target at every
    step, else at the last one (or as ``pool`` says). For tokens see ``char_rnn``. (Cho et al. 2014.)
    """

    recurrence = nn.GRU


@register("model", "rnn")
class RNNModel(RecurrentModel):
    """The simple recurrence h_t = tanh(W x_t + U h_(t-1) + b) over numbers (N, T, D), then Linear: at every step where
    the data have a target at every step, else at the last one (or as ``pool`` says). (Elman 1990.)

    Args:
        nonlinearity: what the recurrence ends with.
    """

    recurrence = nn.RNN

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        hidden: Count = 64,
        layers: Depth = 1,
        dropout: Probability = 0.0,
        pool: Pool = "last",
        nonlinearity: Literal["tanh", "relu"] = "tanh",
    ):
        self._build(in_shape, out_features, hidden, layers, dropout, pool, nonlinearity=nonlinearity)
