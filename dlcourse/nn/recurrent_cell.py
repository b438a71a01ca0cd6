"""One step of a recurrence, called as PyTorch's cells."""

from typing import Any, Literal

from dlcourse.autograd import Tensor, as_tensor
from dlcourse.backend import random
from dlcourse.errors import ArgumentError, ShapeError
from dlcourse.nn.module import Module
from dlcourse.nn.recurrent import draw_weights, weights_of
from dlcourse.nn.sizes import check_sizes
from dlcourse.ops import recurrent as ops

__all__ = ["GRUCell", "LSTMCell", "RNNCell"]


class RecurrentCell(Module):
    """One step: x (N, D) and states (N, H), or x (D,) and states (H,), give the next states.

    Parameters are ``weight_ih`` (G H, D), ``weight_hh`` (G H, H), ``bias_ih`` and ``bias_hh`` (G H,), as PyTorch's, and
    start uniform in +-1 / sqrt(H). A step is a sequence of one step: equations, gradients and kernels are those of the
    layer, see ``ops/recurrent.py``.

    Args:
        input_size: D.
        hidden_size: H.
        bias: whether the two biases are there.
    Raises:
        ShapeError: x or a state has another shape or type.
    """

    gates = 1

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True):
        super().__init__()
        name = type(self).__name__
        check_sizes(name, input_size=input_size, hidden_size=hidden_size)
        if not isinstance(bias, bool):
            raise TypeError(f"{name}: bias is True or False, got {bias!r}")
        if input_size < 1 or hidden_size < 1:
            raise ArgumentError(f"{name}: got {input_size=}, {hidden_size=}")
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        rng = random.next_generator("init/recurrent")
        draw_weights(self, "", self.gates, input_size, hidden_size, bias, rng)

    def forward(self, x: Tensor, hx: Tensor | None = None) -> Any:
        """The next hidden state, (N, H) or (H,); ``hx`` is the one before, zeros where it is left out."""
        return self.run(x, [hx])[0]

    def run(self, x: Tensor, states: list[Tensor | None]) -> tuple[Tensor, ...]:
        """The next states."""
        x = as_tensor(x)
        name, width, size = type(self).__name__, self.input_size, self.hidden_size
        if x.ndim not in (1, 2) or x.shape[-1] != width:
            raise ShapeError(f"{name}: expected x (N, {width}), or one sample ({width},), got {x.shape}")
        shape, given = (*x.shape[:-1], size), []
        for state in states:
            state = x.new_zeros(shape) if state is None else as_tensor(state)
            if state.shape != shape or state.dtype != x.dtype:
                raise ShapeError(f"{name}: expected a state {shape}, {x.dtype}, got {state.shape}, {state.dtype}")
            given.append(state.reshape(-1, size))
        ends = self.step(x.reshape(-1, 1, width), given, weights_of(self, ""))
        return tuple(end.reshape(shape) for end in ends)

    def step(self, x: Tensor, states: list[Tensor], weights: list[Tensor]) -> tuple[Tensor, ...]:
        """The states (N, H), or (N, 1, H), after the one step of x (N, 1, D)."""
        raise NotImplementedError

    def flops(self, in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> int:
        rows = in_shape[0] if len(in_shape) == 2 else 1
        return 2 * rows * self.gates * self.hidden_size * (self.input_size + self.hidden_size)


class RNNCell(RecurrentCell):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or ReLU: one step of :class:`RNN`, ``h = cell(x, h)``. (Elman 1990.)

    Args:
        input_size: D.
        hidden_size: H.
        bias: whether the two biases are there.
        nonlinearity: "tanh" or "relu".
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: Literal["tanh", "relu"] = "tanh"
    ):
        super().__init__(input_size, hidden_size, bias)
        if nonlinearity not in ("tanh", "relu"):
            raise ArgumentError(f"RNNCell: nonlinearity is 'tanh' or 'relu', got {nonlinearity!r}")
        self.nonlinearity = nonlinearity

    def step(self, x: Tensor, states: list[Tensor], weights: list[Tensor]) -> tuple[Tensor, ...]:
        weight_ih, weight_hh, bias_ih, bias_hh = weights
        return (ops.rnn(x, states[0], weight_ih, weight_hh, bias_ih, bias_hh, self.nonlinearity),)


class LSTMCell(RecurrentCell):
    """One step of :class:`LSTM`: ``h, c = cell(x, (h, c))``, gates in the order i, f, g, o. (Hochreiter & Schmidhuber
    1997.)

    Example:
        >>> cell = nn.LSTMCell(input_size=5, hidden_size=4)
        >>> h, c = cell(dl.zeros(8, 5))
        >>> h, c = cell(dl.zeros(8, 5), (h, c))
        >>> h.shape, c.shape
        ((8, 4), (8, 4))
    """

    gates = 4

    def forward(  # type: ignore[override]  # its state is a pair
        self, x: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        if hx is not None and not (isinstance(hx, tuple | list) and len(hx) == 2):
            raise ShapeError(f"LSTMCell: expected the states as a pair (h, c), got {type(hx).__name__}")
        h, c = self.run(x, [None, None] if hx is None else list(hx))
        return h, c

    def step(self, x: Tensor, states: list[Tensor], weights: list[Tensor]) -> tuple[Tensor, ...]:
        return ops.lstm(x, *states, *weights)


class GRUCell(RecurrentCell):
    """One step of :class:`GRU`: ``h = cell(x, h)``, gates in the order r, z, n. (Cho et al. 2014.)"""

    gates = 3

    def step(self, x: Tensor, states: list[Tensor], weights: list[Tensor]) -> tuple[Tensor, ...]:
        return (ops.gru(x, *states, *weights),)
