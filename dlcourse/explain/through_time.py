"""How much of a gradient arrives at the earlier steps of a recurrence (lecture 11)."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dlcourse import backend
from dlcourse.autograd import Tensor, as_tensor, enable_grad, no_grad
from dlcourse.backend.device import Array
from dlcourse.errors import ArgumentError
from dlcourse.nn import Module
from dlcourse.nn.calls import noting_calls
from dlcourse.nn.recurrent import Recurrent, weights_of

__all__ = ["gradients_through_time"]

MAX_STEPS = 1024
"""Longer sequences are not followed: each step is computed once more by itself."""


def gradients_through_time(
    model: Module, inputs: Any, targets: Any, loss: Callable[[Tensor, Any], Tensor]
) -> dict[str, dict[str, Tensor]]:
    """||dL / dh_t|| for each step t of each recurrent layer: where it falls with the distance from the end, the net
    does not learn what lies further back (Pascanu, Mikolov and Bengio 2013).

    The gradient is the whole one, over all later steps too. Of an LSTM there is also that with respect to the cell c_t,
    the way on which the gradient lasts.

    Args:
        model: holds layers ``nn.RNN``, ``nn.LSTM`` or ``nn.GRU`` of one direction; a copy of it is asked, in evaluation
            mode.
        inputs, targets: a batch, as the model and the loss take it.
        loss: ``loss(outputs, targets)``, a scalar.
    Returns:
        By the name of the layer's module ``h_l0`` (T,), that of an LSTM ``c_l0`` too, then ``h_l1`` ...; norms over all
        sequences of the batch.
    Raises:
        ArgumentError: no such layer is called, or the sequences have more than 1,024 steps.
    Example:
        >>> model = dl.models.RNNModel((50, 2), 1, hidden=8)
        >>> x, y = np.random.default_rng(0).random((4, 50, 2), "float32"), np.zeros((4, 1), "float32")
        >>> norms = dl.explain.gradients_through_time(model, x, y, F.mse_loss)["encoder"]["h_l0"]
        >>> norms.shape, (norms[0] < 1e-6 * norms[-1]).item()
        ((50,), True)
    """
    model = copy.deepcopy(model).eval()
    with enable_grad(), following(model) as calls:
        loss(model(as_tensor(inputs)), targets).backward()
    found = {name: calls[id(module)].norms() for name, module in model.named_modules() if id(module) in calls}
    if not found:
        raise ArgumentError(
            f"gradients_through_time: expected a model that calls nn.RNN, nn.LSTM or nn.GRU in one direction, with at "
            f"most {MAX_STEPS} steps, got a {type(model).__name__}"
        )
    return {name: {which: Tensor(norms) for which, norms in each.items()} for name, each in found.items()}


@contextmanager
def following(model: Module) -> Iterator[dict[int, "Call"]]:
    """Inside the ``with`` block the last call of each recurrent layer is kept, by the identity of the module."""
    calls: dict[int, Call] = {}

    def note(module: Module, inputs: tuple[Any, ...], output: Any) -> None:
        call = Call.of(module, inputs, output)
        if call is not None:
            calls[id(module)] = call

    with noting_calls([each for each in model.modules() if isinstance(each, Recurrent)], note):
        yield calls


@dataclass
class Call:
    """One call of a recurrent layer, whose results keep their gradients.

    Attributes:
        layer: the module.
        x: (N, T, D), its input.
        states: initial states, (layers, N, H) each.
        output: (N, T, H).
        ends: each state after the last step, (layers, N, H).
    """

    layer: Any
    x: Array
    states: list[Array]
    output: Tensor
    ends: list[Tensor]

    @classmethod
    def of(cls, layer: Any, inputs: tuple[Any, ...], result: Any) -> "Call | None":
        """None where the steps cannot be followed: backwards, longer than ``MAX_STEPS``, with dropout between layers,
        without gradient."""
        x, given = as_tensor(inputs[0]), inputs[1] if len(inputs) > 1 else None
        drops = layer.dropout and layer.training and layer.num_layers > 1
        output, ends = result[0], list(result[1]) if layer.states > 1 else [result[1]]
        if layer.bidirectional or drops or x.ndim != 3 or not 0 < x.shape[1] <= MAX_STEPS or not output.requires_grad:
            return None
        for each in (output, *ends):
            each.retain_grad()
        if given is None:
            xp, shape = backend.array_module(x.data), (layer.num_layers, len(x), layer.hidden_size)
            states = [xp.zeros(shape, x.dtype) for _ in ends]
        else:
            states = [as_tensor(each).data.copy() for each in (given if layer.states > 1 else [given])]
        return cls(layer, x.data.copy(), states, output, ends)

    def norms(self) -> dict[str, Array]:
        """(T,) for each layer and each of its states, once the backward pass is done."""
        xp, layer = backend.array_module(self.x), self.layer
        inputs = [self.x]
        with no_grad():
            for level in range(layer.num_layers - 1):
                below = layer.cell(Tensor(inputs[-1]), self._first(level), self._weights(level), None)[0]
                inputs.append(below.data)
        dout = xp.zeros_like(self.output.data) if self.output.grad is None else self.output.grad.data
        found: dict[str, Array] = {}
        with enable_grad():
            for level in reversed(range(layer.num_layers)):
                gradients, dout = self._backward(level, inputs[level], dout)
                own = {}
                for state, steps in zip("hc", gradients, strict=False):
                    wide = [step.astype("float64") for step in steps]
                    own[f"{state}_l{level}"] = xp.sqrt(xp.stack([(each * each).sum() for each in wide]))
                found = own | found
        return found

    def _backward(self, level: int, x: Array, dout: Array) -> tuple[list[list[Array]], Array]:
        """Of one layer dL / d(each state) at each step, and dL / dx, from that of its outputs: step by step."""
        weights, states = self._weights(level), self._first(level)
        steps = [Tensor(x[:, t : t + 1].copy(), requires_grad=True) for t in range(x.shape[1])]
        kept: list[list[Tensor]] = []
        total: Any = 0.0
        for t, step in enumerate(steps):
            output, states = self.layer.cell(step, states, weights, None)
            kept.append([output, *states[1:]])
            for each in kept[-1]:
                each.retain_grad()
            total = total + (output * Tensor(dout[:, t : t + 1])).sum()
        top = level == self.layer.num_layers - 1
        for state, end in zip(states, self.ends, strict=True):
            if end.grad is not None and not (top and end is self.ends[0]):  # the outputs' gradient has that of the top
                total = total + (state * end.grad[level].detach()).sum()
        total.backward()
        xp = backend.array_module(x)
        gradients = [[_gradient(each[i]) for each in kept] for i in range(len(self.ends))]
        if self.layer.states > 1:
            before = [self._first(level)[0][:, None], *(output for output, _ in kept[:-1])]
            with no_grad():
                slopes = [
                    _slope(*each, weights) for each in zip(steps, before, (cell for _, cell in kept), strict=True)
                ]
            for place, (slope, dh) in enumerate(zip(slopes, gradients[0], strict=True)):
                gradients[1][place] = gradients[1][place] + slope * dh[:, 0]
        return gradients, xp.concatenate([_gradient(step) for step in steps], axis=1)

    def _weights(self, level: int) -> list[Tensor]:
        return [each.detach() for each in weights_of(self.layer, f"_l{level}")]

    def _first(self, level: int) -> list[Tensor]:
        return [Tensor(each[level]) for each in self.states]


def _slope(x: Tensor, h: Tensor, cell: Tensor, weights: list[Tensor]) -> Array:
    """d h_t / d c_t = o_t (1 - tanh^2 c_t) of an LSTM, (N, H), from the input and the output before, (N, 1, D) and
    (N, 1, H)."""
    weight_ih, weight_hh, bias_ih, bias_hh = (each[3 * cell.shape[1] :] for each in weights)  # of the output gate
    gate = (x[:, 0] @ weight_ih.T + bias_ih + h[:, 0] @ weight_hh.T + bias_hh).sigmoid()
    return (gate * (1 - cell.tanh() ** 2)).data


def _gradient(tensor: Tensor) -> Array:
    """Zeros where nothing comes back, as to the last cell of an LSTM from a step after it."""
    return backend.array_module(tensor.data).zeros_like(tensor.data) if tensor.grad is None else tensor.grad.data
