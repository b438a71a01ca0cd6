"""Flat buffers: parameters are views, gradients arrive in place, nothing stale is ever used."""

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import backend, nn, optim
from dlcourse import functional as F
from dlcourse.autograd import FlatParameters, Parameter, Tensor, tensor
from dlcourse.errors import ShapeError


def test_parameters_become_views(device: str) -> None:
    a, b = Parameter(np.ones((2, 3), "float32")), Parameter(np.full(4, 2.0, "float32"))
    flat = FlatParameters([a, b])
    assert backend.to_host(flat.data).tolist() == [1] * 6 + [2] * 4
    flat.data *= 3
    assert a.numpy()[0, 0] == 3 and b.numpy()[0] == 6
    a.data = backend.current().asarray(np.zeros((2, 3), "float32"))  # copies into the buffer, never rebinds
    assert backend.to_host(flat.data)[:6].tolist() == [0] * 6
    with pytest.raises(ShapeError):
        a.data = backend.current().asarray(np.zeros((3, 2), "float32"))


def test_gradients_arrive_in_the_buffer(device: str) -> None:
    layer = nn.Linear(3, 2)
    flat = FlatParameters(layer.parameters())
    x = np.arange(6.0, dtype="float32").reshape(2, 3)
    F.linear(tensor(x), layer.weight, layer.bias).sum().backward()
    expected = np.concatenate([np.tile(x.sum(0), 2), [2, 2]])
    np.testing.assert_allclose(backend.to_host(flat.gather_grad()), expected)
    F.linear(tensor(x), layer.weight, layer.bias).sum().backward()  # accumulates
    np.testing.assert_allclose(backend.to_host(flat.gather_grad()), 2 * expected)


def test_the_first_gradient_of_a_linear_layer_is_written_in_place() -> None:
    layer = nn.Linear(3, 2)
    flat = FlatParameters(layer.parameters())
    flat.grad[...] = np.nan  # would spread if anything were added to it
    assert np.shares_memory(layer.weight.grad_destination(), flat.grad)
    F.linear(tensor(np.ones((4, 3), "float32")), layer.weight, layer.bias).sum().backward()
    assert layer.weight.grad_destination() is None
    assert np.isfinite(flat.grad).all()


def test_what_received_nothing_counts_as_zero(device: str) -> None:
    used, unused = Parameter(np.ones(2, "float32")), Parameter(np.ones(3, "float32"))
    flat = FlatParameters([used, unused])
    flat.grad[...] = 7
    flat.zero_grad()
    assert used.grad is None and unused.grad is None
    (used * 2).sum().backward()
    assert backend.to_host(flat.gather_grad()).tolist() == [2, 2, 0, 0, 0]


def test_gradients_survive_being_taken_in() -> None:
    p = Parameter(np.ones(2))
    (p * 3).sum().backward()
    flat = FlatParameters([p])
    assert flat.gather_grad().tolist() == [3, 3] and p.grad.tolist() == [3, 3]


def test_assigned_gradient_is_copied_into_the_buffer(device: str) -> None:
    p = Parameter(np.ones(2, "float32"))
    flat = FlatParameters([p])
    p.grad = np.float32([4, 5])
    assert backend.to_host(flat.gather_grad()).tolist() == [4, 5]


def test_the_same_parameters_share_one_buffer() -> None:
    layer = nn.Linear(2, 2)
    first = FlatParameters.of(layer.parameters())
    assert FlatParameters.of(layer.parameters()) is first
    other = FlatParameters.of([layer.weight])
    assert other is not first and not first.holds_its_parameters()


def test_a_buffer_refuses_nothing_and_mixtures() -> None:
    with pytest.raises(ValueError, match="at least one"):
        FlatParameters([])
    with pytest.raises(ValueError, match="share a type"):
        FlatParameters([Parameter(np.ones(2)), Parameter(np.ones(2, "float32"))])
    with pytest.raises(TypeError, match="floating"):
        Parameter(np.array([1, 2]))


def test_one_parameter_in_two_places_of_an_operation_gets_the_sum(device: str) -> None:
    x, h0 = tensor(np.ones((2, 3, 4), "float32")), tensor(np.zeros((2, 4), "float32"))
    weights = [Parameter(np.eye(4, dtype="float32") * scale) for scale in (0.1, 0.2)]
    apart = [Parameter(np.zeros(4, "float32")) for _ in range(2)]
    F.rnn(x, h0, *weights, *apart).sum().backward()
    shared = Parameter(np.zeros(4, "float32"))
    FlatParameters([*weights, shared])  # where each would write its gradient in place
    F.rnn(x, h0, *weights, shared, shared).sum().backward()
    np.testing.assert_allclose(shared.grad.numpy(), apart[0].grad.numpy() + apart[1].grad.numpy(), rtol=1e-6)


def _square(p: Parameter, weight: float) -> None:
    (p * p * weight).sum().backward()


@pytest.mark.parametrize("form", ["tensor", "array", "numpy"])
@pytest.mark.parametrize("forget", ["optimizer", "module", "parameter", "assign", "fill"])
def test_a_gradient_that_was_taken_stays_what_it_was(forget: str, form: str, device: str) -> None:
    layer = nn.Linear(2, 1)
    optimizer = optim.SGD(layer.parameters(), lr=0.1)
    w = layer.weight
    w.data[...] = 1
    _square(w, 1)
    taken = {"tensor": w.grad, "array": w.grad.data, "numpy": w.grad.numpy()}[form]
    forgetting = {
        "optimizer": optimizer.zero_grad,
        "module": layer.zero_grad,
        "parameter": w.zero_grad,
        "assign": lambda: setattr(w, "grad", None),
        "fill": lambda: optimizer.zero_grad(set_to_none=False),
    }
    forgetting[forget]()
    if forget == "fill":
        assert w.grad.tolist() == [[0, 0]] and layer.bias.grad is None
    else:
        assert w.grad is None
    _square(w, 3)
    optimizer.step()
    assert np.asarray(backend.to_host(getattr(taken, "data", taken) if form == "tensor" else taken)).tolist() == [
        [2, 2]
    ]
    assert w.grad.tolist() == [[6, 6]]
    np.testing.assert_allclose(w.numpy(), [[0.4, 0.4]], rtol=1e-6)


def test_a_gradient_is_added_to_and_changed_in_place_as_pytorchs(device: str) -> None:
    p = Parameter(np.ones(2, "float32"))
    optimizer = optim.SGD([p], lr=1.0)
    _square(p, 1)
    taken = p.grad
    _square(p, 1)  # without forgetting: the same tensor holds the sum
    assert taken.tolist() == p.grad.tolist() == [4, 4] and p.grad is taken
    p.grad.data *= 0.25
    optim.clip_grad_norm([p], 0.5 * 2**0.5)
    np.testing.assert_allclose(taken.numpy(), [0.5, 0.5], rtol=1e-5)
    optimizer.step()
    np.testing.assert_allclose(p.numpy(), [0.5, 0.5], rtol=1e-5)


def test_gradients_looked_at_between_the_steps_of_a_train_step_are_that_steps(device: str) -> None:
    model = nn.Linear(2, 2)
    step = dl.TrainStep(model, F.mse_loss, optim.SGD(model.parameters(), lr=0.1))
    x, taken = np.ones((3, 2), "f"), []
    for target in (1, 2, 3, 4, 5):
        step(x, np.full((3, 2), 100 * target, "f"))
        taken.append((model.weight.grad, model.weight.grad.numpy().copy()))
    for now, then in taken:
        np.testing.assert_array_equal(now.numpy(), then)
    assert len({array.tobytes() for _, array in taken}) == 5


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("optimizer", [optim.SGD, optim.AdamW])
def test_weights_tied_by_their_array_stay_tied(optimizer: type, turned: bool, device: str) -> None:
    """As one parameter would be: the gradients add up."""
    x = tensor(np.random.default_rng(0).normal(size=(5, 3)).astype("f"))
    nets = [nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)) for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    nets[0][1].weight.data = nets[0][0].weight.data.T if turned else nets[0][0].weight.data

    def forward(net: nn.Module, one: bool) -> Tensor:
        if not one:
            return net(x)
        w = net[0].weight
        return F.linear(net[0](x), w.transpose(1, 0) if turned else w, net[1].bias)

    for net, one in ((nets[0], False), (nets[1], True)):
        made = optimizer(net.parameters() if not one else [*net[0].parameters(), net[1].bias], lr=0.1)
        for _ in range(3):
            made.zero_grad()
            (forward(net, one) ** 2).sum().backward()
            made.step()
    first, second = nets[0][0].weight.numpy(), nets[0][1].weight.numpy()
    np.testing.assert_array_equal(first, second.T if turned else second)
    np.testing.assert_allclose(first, nets[1][0].weight.numpy(), rtol=1e-4, atol=1e-6)


def test_an_array_got_before_the_optimizer_is_no_stale_one(device: str) -> None:
    layer = nn.Linear(2, 2)
    array, row, given = layer.weight.data, layer.weight.data[0], np.ones(2, "f")
    layer.bias = Parameter(given)  # a copy, as of dl.tensor
    optimizer = optim.SGD(layer.parameters(), lr=0.5)
    layer(tensor(np.ones((1, 2), "f"))).sum().backward()
    optimizer.step()
    for ours in (backend.to_host(array), np.stack([backend.to_host(row), layer.weight.numpy()[1]])):
        np.testing.assert_array_equal(ours, layer.weight.numpy())
    assert given.tolist() == [1, 1] and layer.bias.tolist() == [0.5, 0.5]
    layer.load_state_dict({"weight": np.zeros((2, 2)), "bias": np.zeros(2)})
    assert backend.to_host(array).tolist() == [[0, 0], [0, 0]]
    if device == "cpu":
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 3


@pytest.mark.parametrize("flat", [False, True])
def test_half_precision_values_changed_in_place_count(flat: bool, device: str) -> None:
    p = nn.Linear(2, 1).to(dtype="float16").weight
    p.assign(backend.current().asarray([[1.0001, 3]], dtype="float32"))
    optimizer = optim.SGD([p], lr=0.0) if flat else None
    p.data *= 1
    assert p.master.tolist()[0][0] == pytest.approx(1.0001, abs=1e-6)  # which 16 bits do not tell from 1
    p.data *= 2
    assert p.master.tolist() == p.data.tolist() == [[2, 6]]
    if flat:
        (p * p).sum().backward()
        optimizer.step()
        assert p.data.tolist() == [[2, 6]]
