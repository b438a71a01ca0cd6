"""Recurrent layers, called as PyTorch's with ``batch_first``: ``output, h_n = rnn(x, h0=None)``."""

import math
from typing import Any, Literal

from dlcourse import backend
from dlcourse.autograd import Parameter, Tensor, as_tensor
from dlcourse.backend import random
from dlcourse.errors import ShapeError
from dlcourse.nn.lengths import Lengths
from dlcourse.nn.module import Module
from dlcourse.nn.sizes import check_batch_first, check_sizes
from dlcourse.ops import recurrent as ops
from dlcourse.ops.dropout import dropout
from dlcourse.ops.linear import concatenate, stack

__all__ = ["GRU", "LSTM", "RNN"]


class Recurrent(Module):
    """Layers of a recurrence, one above the other, in one or both directions.

    Parameters are named as PyTorch's: ``weight_ih_l0`` (G H, D), ``weight_hh_l0`` (G H, H), ``bias_ih_l0`` and
    ``bias_hh_l0`` (G H,), then ``_l1`` ...; those of the backward direction end in ``_reverse``. All start uniform in
    +-1 / sqrt(H).

    Sequences of different lengths come padded to one, with ``lengths=``: outputs behind the end of a sequence are 0,
    its last states are those after its own last step, and what stands in the padding changes nothing. PyTorch has
    these results by ``pack_padded_sequence`` and ``pad_packed_sequence``. ``nn.utils.rnn.pad_sequence`` pads.

    Args:
        input_size: D.
        hidden_size: H.
        num_layers: layers; each above the first reads the outputs of the one below.
        bias: whether the two biases are there.
        batch_first: True, the only layout here.
        dropout: probability of dropping an output between layers.
        bidirectional: a second set of weights goes through the sequence backwards; outputs are joined, (N, T, 2H).
    Raises:
        ArgumentError: ``batch_first`` is False.
    """

    gates, states = 1, 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = True,
        dropout: float = 0.0,
        bidirectional: bool = False,
    ):
        super().__init__()
        check_batch_first(type(self).__name__, batch_first)
        self.batch_first = batch_first
        check_sizes(type(self).__name__, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        if not isinstance(bias, bool):
            raise TypeError(f"{type(self).__name__}: bias is True or False, got {bias!r}")
        if input_size < 1 or hidden_size < 1 or num_layers < 1 or not 0 <= dropout <= 1:
            raise ValueError(f"{type(self).__name__}: got {input_size=}, {hidden_size=}, {num_layers=}, {dropout=}")
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.bidirectional, self.dropout = bias, bidirectional, dropout
        rng = random.next_generator("init/recurrent")
        for layer in range(num_layers):
            width = input_size if layer == 0 else hidden_size * len(self._directions())
            for end in self._directions():
                draw_weights(self, f"_l{layer}{end}", self.gates, width, hidden_size, bias, rng)

    def cell(
        self, x: Tensor, states: list[Tensor], weights: list[Tensor], lengths: Lengths | None
    ) -> tuple[Tensor, list[Tensor]]:
        """One layer in one direction: outputs (N, T, H) and the last states."""
        raise NotImplementedError

    def forward(self, x: Tensor, h0: Tensor | None = None, *, lengths: Any = None) -> tuple[Tensor, Any]:
        output, (h_n,) = self.run(x, [h0], lengths)
        return output, h_n

    def run(self, x: Tensor, states: list[Tensor | None], counts: Any = None) -> tuple[Tensor, list[Tensor]]:
        """All layers: outputs, and each state's last values (layers x directions, N, H).

        Args:
            x: (N, T, D), or one sequence (T, D): then nothing has the axis N.
            states: initial states, (layers x directions, N, H) each, or None for zeros.
            counts: the lengths of the sequences (N,), or None where all have T steps.
        Raises:
            ShapeError: x is not (N, T, D) or (T, D), a state has another shape or type, or lengths are none.
        """
        x = as_tensor(x)
        if x.ndim == 2:
            if counts is not None:
                raise ShapeError(f"{type(self).__name__}: lengths are those of a batch (N, T, D), got x {x.shape}")
            output, ends = self.run(x[None], [None if state is None else _of_one(state) for state in states])
            return output[0], [end[:, 0] for end in ends]
        states = [self._checked(x, state) for state in states]
        lengths = None if counts is None else Lengths(type(self).__name__, counts, x)
        x = x if lengths is None else lengths.hide(x)
        nothing: Any = self._zeros(x) if any(state is None for state in states) else None
        lasts: list[list[Tensor]] = []
        for layer in range(self.num_layers):
            outputs = []
            for direction, end in enumerate(self._directions()):
                weights = weights_of(self, f"_l{layer}{end}")
                index = layer * len(self._directions()) + direction
                first = [nothing if state is None else state[index] for state in states]
                turn = _turned if direction else _as_it_is
                output, last = self.cell(turn(x, lengths), first, weights, lengths)
                outputs.append(turn(output, lengths))
                lasts.append(last)
            x = concatenate(outputs, axis=2) if len(outputs) > 1 else outputs[0]
            if self.dropout and layer + 1 < self.num_layers:
                x = dropout(x, self.dropout, self.training)
        x = x if lengths is None else lengths.hide(x)
        # What stands in `output` is copied, so that a change of the one is none of the other; of one layer no more.
        return x, [
            stack(list(ends)) if len(ends) > 1 or not kind else ends[0][None]
            for kind, ends in enumerate(zip(*lasts, strict=True))
        ]

    def _checked(self, x: Tensor, state: Tensor | None) -> Tensor | None:
        name = type(self).__name__
        if x.ndim != 3 or x.shape[2] != self.input_size:
            raise ShapeError(
                f"{name}: expected x (N, T, {self.input_size}), or one sequence (T, {self.input_size}), got {x.shape}"
            )
        if state is None:
            return None
        state, expected = as_tensor(state), (self.num_layers * len(self._directions()), len(x), self.hidden_size)
        if state.shape != expected or state.dtype != x.dtype:
            raise ShapeError(
                f"{name}: expected states {expected}, {x.dtype}, which is (layers x directions, N, H) in the type of "
                f"x, got {state.shape}, {state.dtype}"
            )
        return state

    def _directions(self) -> tuple[str, ...]:
        return ("", "_reverse") if self.bidirectional else ("",)

    def _zeros(self, x: Tensor) -> Tensor:
        xp = backend.array_module(x.data)
        return Tensor(xp.zeros((len(x), self.hidden_size), dtype=x.dtype))

    def flops(self, in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> int:
        weights = sum(p.size for name, p in self.named_parameters() if "weight" in name)
        return 2 * weights * math.prod(in_shape[:2])


def _of_one(state: Tensor) -> Tensor:
    """A state (layers, H) of one sequence as (layers, 1, H)."""
    state = as_tensor(state)
    if state.ndim != 2:
        raise ShapeError(f"of one sequence (T, D) a state is (layers x directions, H), got {state.shape}")
    return state[:, None]


def draw_weights(layer: Module, end: str, gates: int, width: int, size: int, bias: bool, rng: Any) -> None:
    """Give a layer the weights and biases of one recurrence, uniform in +-1 / sqrt(H); their names get that end."""
    rows, bound = gates * size, 1 / math.sqrt(size)
    shapes = {"weight_ih": (rows, width), "weight_hh": (rows, size)}
    biases = {"bias_ih": (rows,), "bias_hh": (rows,)} if bias else {}
    for name, shape in {**shapes, **biases}.items():
        setattr(layer, f"{name}{end}", Parameter(rng.uniform(-bound, bound, shape).astype("float32")))


def weights_of(layer: Any, end: str) -> list[Tensor]:
    """Weights and biases of the names with that end; zeros where there is no bias."""
    weights = [getattr(layer, f"{name}{end}") for name in ("weight_ih", "weight_hh")]
    if layer.bias:
        return weights + [getattr(layer, f"{name}{end}") for name in ("bias_ih", "bias_hh")]
    nothing = Tensor(backend.array_module(weights[0].data).zeros(len(weights[0]), dtype=weights[0].dtype))
    return [*weights, nothing, nothing]


def _as_it_is(x: Tensor, lengths: Lengths | None) -> Tensor:
    return x


def _turned(x: Tensor, lengths: Lengths | None) -> Tensor:
    """The sequences backwards."""
    return x[:, ::-1] if lengths is None else lengths.reverse(x)


def _last(output: Tensor, first: Tensor, lengths: Lengths | None) -> Tensor:
    """The state after the last step, (N, H): of a sequence without steps the one before it."""
    if lengths is not None:
        return lengths.last(output)
    return output[:, -1] if output.shape[1] else first


PUSH = 3e4
"""What decides the value of a gate or a ReLU whatever else is added to it, in 16 bits too."""


def _pushed(x: Tensor, weights: list[Tensor], lengths: Lengths | None, *pushes: float) -> tuple[Tensor, list[Tensor]]:
    """x with one number more, 1 in the padding, and weights that add a push to each gate there."""
    if lengths is None:
        return x, weights
    weight, *rest = weights
    xp = backend.array_module(x.data)
    flag = lengths.padding.to(dtype=x.dtype)
    shape = (len(weight) // len(pushes), 1)
    column = xp.concatenate([xp.full(shape, push, dtype=weight.dtype) for push in pushes])
    return concatenate([x, flag], axis=2), [concatenate([weight, Tensor(column)], axis=1), *rest]


class RNN(Recurrent):
    """h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh), or ReLU; ``output, h_n = rnn(x, h0=None)``. (Elman 1990.)

    x (N, T, D), h0 and h_n (layers, N, H), output (N, T, H). For the further arguments see :class:`Recurrent`.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: Literal["tanh", "relu"] = "tanh",
        bias: bool = True,
        batch_first: bool = True,
        dropout: float = 0.0,
        bidirectional: bool = False,
    ):
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNN: nonlinearity is 'tanh' or 'relu', got {nonlinearity!r}")
        self.nonlinearity = nonlinearity

    def cell(
        self, x: Tensor, states: list[Tensor], weights: list[Tensor], lengths: Lengths | None
    ) -> tuple[Tensor, list[Tensor]]:
        if self.nonlinearity == "relu":  # which could grow beyond all bounds in the padding
            x, weights = _pushed(x, weights, lengths, -PUSH)
        weight_ih, weight_hh, bias_ih, bias_hh = weights
        output = ops.rnn(x, states[0], weight_ih, weight_hh, bias_ih, bias_hh, self.nonlinearity)
        return output, [_last(output, states[0], lengths)]


class LSTM(Recurrent):
    """Long short-term memory; ``output, (h_n, c_n) = lstm(x, (h0, c0))``. Gates are in the order i, f, g, o.

    x (N, T, D), states (layers, N, H), output (N, T, H). (Hochreiter & Schmidhuber 1997; equations: see ``ops``.)

    Example:
        >>> lstm = nn.LSTM(input_size=5, hidden_size=4, num_layers=2)
        >>> output, (h_n, c_n) = lstm(dl.tensor(np.zeros((8, 7, 5), "float32")))
        >>> output.shape, h_n.shape
        ((8, 7, 4), (2, 8, 4))
    """

    gates, states = 4, 2

    def forward(  # type: ignore[override]  # its state is a pair
        self, x: Tensor, states: tuple[Tensor, Tensor] | None = None, *, lengths: Any = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        if states is not None and not (isinstance(states, tuple | list) and len(states) == 2):
            raise ShapeError(f"LSTM: expected the states as a pair (h0, c0), got {type(states).__name__}")
        output, (h_n, c_n) = self.run(x, list(states) if states is not None else [None, None], lengths)
        return output, (h_n, c_n)

    def cell(
        self, x: Tensor, states: list[Tensor], weights: list[Tensor], lengths: Lengths | None
    ) -> tuple[Tensor, list[Tensor]]:
        # In the padding input gates are shut and forget gates open: the cell after T steps is that after the last step
        # of the sequence, and its gradient goes there as it is.
        x, weights = _pushed(x, weights, lengths, -PUSH, PUSH, 0, 0)
        output, last_cell = ops.lstm(x, *states, *weights)
        return output, [_last(output, states[0], lengths), last_cell]


class GRU(Recurrent):
    """Gated recurrent unit; ``output, h_n = gru(x, h0=None)``. Gates are in the order r, z, n.

    x (N, T, D), h0 and h_n (layers, N, H), output (N, T, H). (Cho et al. 2014; equations in ``ops/recurrent``.)
    """

    gates = 3

    def cell(
        self, x: Tensor, states: list[Tensor], weights: list[Tensor], lengths: Lengths | None
    ) -> tuple[Tensor, list[Tensor]]:
        output = ops.gru(x, *states, *weights)
        return output, [_last(output, states[0], lengths)]
