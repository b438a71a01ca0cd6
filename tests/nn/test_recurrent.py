"""Recurrent layers on sequences of different lengths, and their cells, against PyTorch's."""

from typing import Any

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import nn
from dlcourse.autograd import Tensor, gradcheck, tensor
from dlcourse.errors import ShapeError

torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
rnn = torch.nn.utils.rnn

TIGHT = {"rtol": 1e-10, "atol": 1e-12}
LENGTHS = [3, 5, 1, 4]


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def pair(name: str, *args: Any, **options: Any) -> tuple[nn.Module, Any]:
    """Ours and PyTorch's with the same weights, in float64."""
    ours = getattr(nn, name)(*args, **options).double()
    first = {} if name.endswith("Cell") else {"batch_first": True}
    theirs = getattr(torch.nn, name)(*args, **options, **first).double()
    theirs.load_state_dict({key: torch.tensor(value) for key, value in ours.state_dict().items()})
    return ours, theirs


def states_of(name: str, *shape: int) -> Any:
    made = [normal(*shape, seed=k + 5) for k in range(2 if name.startswith("LSTM") else 1)]
    return tuple(made) if len(made) > 1 else made[0]


def as_torch(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(as_torch, value))
    return None if value is None else torch.tensor(value, requires_grad=True)


def flat(value: Any) -> list:
    return [value] if hasattr(value, "shape") else [leaf for each in value for leaf in flat(each)]


def check_grads(ours: nn.Module, theirs: Any) -> None:
    for name, p in theirs.named_parameters():
        np.testing.assert_allclose(ours.get_parameter(name).grad.numpy(), p.grad.numpy(), **TIGHT, err_msg=name)


@pytest.mark.parametrize("both_ways", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("with_states", [False, True])
@pytest.mark.parametrize("name", ["RNN", "ReLU RNN", "LSTM", "GRU"])
def test_lengths_are_pytorchs_packed_sequences(
    name: str, layers: int, both_ways: bool, with_states: bool, device
) -> None:
    options: dict = {"num_layers": layers, "bidirectional": both_ways}
    options |= {"nonlinearity": "relu"} if name == "ReLU RNN" else {}
    name = name.split()[-1]
    ours, theirs = pair(name, 3, 6, **options)
    x, states = normal(4, 5, 3), states_of(name, layers * (1 + both_ways), 4, 6) if with_states else None
    given, mine = as_torch(x), tensor(np.where(np.arange(5)[:, None] < np.array(LENGTHS)[:, None, None], x, np.nan))
    mine.requires_grad = True
    packed = rnn.pack_padded_sequence(given, torch.tensor(LENGTHS), batch_first=True, enforce_sorted=False)
    output, last = theirs(packed, as_torch(states))
    expected = [rnn.pad_packed_sequence(output, batch_first=True)[0], *flat(last)]
    first = tuple(map(tensor, states)) if isinstance(states, tuple) else states if states is None else tensor(states)
    found = flat(ours(mine, first, lengths=LENGTHS))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.numpy(), other.detach().numpy(), **TIGHT)
    sum((y * y).sum() for y in found).backward()
    sum((y * y).sum() for y in expected).backward()
    np.testing.assert_allclose(mine.grad.numpy(), given.grad.numpy(), **TIGHT)
    check_grads(ours, theirs)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("size", [4, 128])
def test_lengths_in_other_types_and_by_the_fast_kernels(dtype: str, size: int, device) -> None:
    """As the sequences one by one."""
    layer = nn.LSTM(8, size, bidirectional=True).to(dtype=dtype)
    x = tensor(normal(4, 40, 8), dtype=dtype)
    lengths = np.array([40, 7, 1, 23])
    output, (h_n, c_n) = layer(x, lengths=lengths)
    close = {"atol": 1e-5 if dtype == "float32" else 2e-2}
    for k, length in enumerate(lengths):
        one, (h, c) = layer(x[k, :length])
        for found, expected in ((output[k, :length], one), (h_n[:, k], h), (c_n[:, k], c)):
            np.testing.assert_allclose(found.numpy().astype("f"), expected.numpy().astype("f"), rtol=0, **close)
        assert not output[k, length:].numpy().any()


def test_a_relu_that_grows_without_bounds_stays_out_of_the_padding() -> None:
    layer = nn.RNN(2, 3, nonlinearity="relu")
    layer.weight_hh_l0.data = 3 * np.ones((3, 3), "float32")
    layer(tensor(np.ones((2, 60, 2), "float32")), lengths=[3, 2])[0].sum().backward()
    assert np.isfinite(layer.weight_hh_l0.grad.numpy()).all()


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_what_are_no_lengths_is_refused(name: str) -> None:
    layer, x = getattr(nn, name)(3, 4), np.zeros((2, 5, 3), "float32")
    for wrong in ([1], [[1, 2]], [1.0, 2.0], [0, 1], [2, 6], [-1, 2], [True, False], 3):
        with pytest.raises(ShapeError, match=f"{name}: .*lengths"):
            layer(x, lengths=wrong)
    with pytest.raises(ShapeError, match=r"lengths are those of a batch \(N, T, D\), got x \(5, 3\)"):
        layer(x[0], lengths=[5])
    for fine in ([5, 1], (5, 1), np.array([5, 1], "int32"), tensor(np.array([5, 1]))):
        layer(x, lengths=fine)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("one", [False, True])
@pytest.mark.parametrize("name", ["RNNCell", "LSTMCell", "GRUCell"])
def test_cells_are_pytorchs(name: str, bias: bool, one: bool, device: str) -> None:
    ours, theirs = pair(name, 3, 4, bias)
    x, states = normal(*(() if one else (2,)), 3), states_of(name, *(() if one else (2,)), 4)
    given = tensor(x, requires_grad=True)
    mine = tuple(map(tensor, states)) if isinstance(states, tuple) else tensor(states)
    expected_x, expected_states = as_torch(x), as_torch(states)
    total, expected_total = 0, 0
    for _ in range(3):
        mine, expected_states = ours(given, mine), theirs(expected_x, expected_states)
        for a, b in zip(flat(mine), flat(expected_states), strict=True):
            np.testing.assert_allclose(a.numpy(), b.detach().numpy(), **TIGHT)
            total, expected_total = total + (a * a).sum(), expected_total + (b * b).sum()
    total.backward()
    expected_total.backward()
    np.testing.assert_allclose(given.grad.numpy(), expected_x.grad.numpy(), **TIGHT)
    check_grads(ours, theirs)
    np.testing.assert_allclose(flat(ours(given))[0].numpy(), flat(theirs(expected_x))[0].detach().numpy(), **TIGHT)


def test_cells_have_gradients_and_16_bits() -> None:
    for make in (lambda: nn.RNNCell(2, 3, nonlinearity="relu"), lambda: nn.LSTMCell(2, 3), lambda: nn.GRUCell(2, 3)):
        cell = make().double()

        def run(x: Any, h: Any, cell: Any = cell) -> Tensor:
            states = (h, h * 0.5) if isinstance(cell, nn.LSTMCell) else h
            return sum((state * state).sum() for state in flat(cell(x, states)))

        gradcheck(run, [normal(2, 2), normal(2, 3)])
        for dtype in ("float16", "bfloat16"):
            half = flat(cell.to(dtype=dtype)(tensor(normal(2, 2), dtype=dtype)))
            assert all(str(state.dtype) == dtype for state in half)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: nn.LSTMCell(3, 4)(np.zeros((2, 5, 3), "f")), r"LSTMCell: expected x \(N, 3\), or one sample"),
        (lambda: nn.LSTMCell(3, 4)(np.zeros((2, 3), "f"), np.zeros((2, 4), "f")), r"a pair \(h, c\), got ndarray"),
        (lambda: nn.GRUCell(3, 4)(np.zeros((2, 3), "f"), np.zeros((1, 4), "f")), r"a state \(2, 4\), float32, got"),
        (
            lambda: nn.GRUCell(3, 4)(np.zeros((2, 3), "f"), np.zeros((2, 4))),
            r"a state \(2, 4\), float32, got .* float64",
        ),
        (lambda: nn.RNNCell(3, 4, nonlinearity="sigmoid"), "nonlinearity is 'tanh' or 'relu', got 'sigmoid'"),
        (lambda: nn.RNNCell(3, 0), "hidden_size=0"),
        (lambda: nn.RNNCell(3, 2.5), "hidden_size is a whole number, got 2.5"),
        (lambda: nn.RNNCell(3, 2, "relu"), "bias is True or False, got 'relu'"),
        (lambda: nn.LSTM(3, 4, proj_size=2), "LSTM takes no 'proj_size'; leave it out, and put nn.Linear"),
        (lambda: nn.utils.rnn.pad_sequence([]), "expected sequences, got none"),
        (lambda: nn.LSTM(2, 3, batch_first=False), r"LSTM: batch_first is True, got False: sequences are \(N, T, D\)"),
        (lambda: nn.utils.rnn.pad_sequence([dl.ones(2)], batch_first=False), r"sequences are \(N, T, D\) always"),
        (lambda: nn.utils.rnn.pad_sequence([dl.ones(2), dl.ones(2, 1)]), "differ in their first axis alone"),
        (lambda: nn.utils.rnn.unpad_sequence(dl.ones(2, 3), [1]), "expected a batch .* and N lengths"),
        (lambda: nn.utils.rnn.pack_padded_sequence, r"no packing: output, h_n = rnn\(x, lengths=lengths\)"),
        (lambda: nn.utils.vector_to_parameters(dl.ones(3), nn.Linear(1, 1).parameters()), r"expected \(2,\) numbers"),
        (lambda: nn.utils.parameters_to_vector([]), "expected parameters"),
    ],
)
def test_mistakes_are_named(call: Any, text: str) -> None:
    with pytest.raises((ValueError, TypeError, AttributeError), match=text):
        call()


def test_sequences_are_padded_and_back_as_pytorchs() -> None:
    arrays = [normal(length, 3) for length in LENGTHS]
    mine = [tensor(a, requires_grad=True) for a in arrays]
    padded = nn.utils.rnn.pad_sequence(mine, padding_value=7.0)
    expected = rnn.pad_sequence([torch.tensor(a) for a in arrays], batch_first=True, padding_value=7.0)
    np.testing.assert_array_equal(padded.numpy(), expected.numpy())
    (padded * padded).sum().backward()
    np.testing.assert_allclose(mine[0].grad.numpy(), 2 * arrays[0])
    for back, a in zip(nn.utils.rnn.unpad_sequence(padded, LENGTHS), arrays, strict=True):
        np.testing.assert_array_equal(back.numpy(), a)
