"""Recurrent nets over sequences of numbers (lecture 10): the simple recurrence, LSTM and GRU."""

from typing import Annotated, Any, ClassVar, Literal

from dlcourse import nn
from dlcourse.component import Component
from dlcourse.models.sequence import Pool, Scan, SequenceModel, sequence_shape
from dlcourse.nn import init
from dlcourse.nn.initializer import Default, initializer
from dlcourse.registry import register
from dlcourse.types import Count, Depth, Probability

__all__ = ["GRUModel", "LSTMModel", "RNNModel"]


class RecurrentModel(SequenceModel):
    """Base: recurrent layers, then a linear layer at every step or on what ``pool`` makes of the steps.

    Args:
        in_shape: (T, D); any length is taken. Or an image (H, W, C).
        out_features: number of classes, or width of the target.
        hidden: H, size of the state.
        layers: recurrent layers, one above the other.
        dropout: probability of dropping an output of a recurrent layer, in training.
        pool: what of the steps goes into a single output: the last, or the mean or the maximum over all.
        scan: how an image is read: its rows are the steps, H of W C numbers, or its pixels, H W of C.
        recurrent_init: how the weights from state to state are drawn, those of each gate by themselves; biases start
            at 0. ``default`` is PyTorch's way; ``eye`` with ``nonlinearity: relu`` is the net of Le et al. (2015),
            which keeps its state unless the input changes it.
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
        scan: Scan = "rows",
        recurrent_init: Annotated[Any, Component("init")] = "default",
    ):
        self._build(in_shape, out_features, hidden, layers, dropout, pool, scan, recurrent_init)

    def _build(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        hidden: int,
        layers: int,
        dropout: float,
        pool: Pool,
        scan: Scan,
        recurrent_init: Any,
        **options: str,
    ) -> None:
        """Make the layers; ``options`` are those of one recurrence alone."""
        _, width = sequence_shape(self.recurrence.__name__.lower(), in_shape, scan)
        encoder = self.recurrence(width, hidden, num_layers=layers, dropout=dropout, **options)
        super().__init__(in_shape, out_features, encoder, hidden, pool, dropout, scan)
        _draw_recurrent(encoder, recurrent_init)


def _draw_recurrent(encoder: nn.Module, given: Any) -> None:
    """Draw anew the weights from state to state, gate by gate, with biases at 0; ``default`` leaves all as it is."""
    draw = initializer(given)
    if isinstance(draw, Default):
        return
    for name, parameter in encoder.named_parameters():
        if name.startswith("weight_hh"):
            hidden = parameter.shape[1]
            for first in range(0, len(parameter), hidden):
                parameter.data[first : first + hidden] = draw((hidden, hidden))
        elif name.startswith("bias"):
            parameter.data = init.zeros(parameter.shape)


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
        scan: Scan = "rows",
        recurrent_init: Annotated[Any, Component("init")] = "default",
    ):
        self._build(
            in_shape, out_features, hidden, layers, dropout, pool, scan, recurrent_init, nonlinearity=nonlinearity
        )
