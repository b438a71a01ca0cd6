"""Flat buffers: parameters are views, gradients arrive in place, nothing stale is ever used."""

import numpy as np
import pytest

from dlcourse import backend, nn
from dlcourse import functional as F
from dlcourse.autograd import FlatParameters, Parameter, tensor
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
    np.testing.assert_allclose(backend.to_host(flat.ready_grad()), expected)
    F.linear(tensor(x), layer.weight, layer.bias).sum().backward()  # accumulates
    np.testing.assert_allclose(backend.to_host(flat.ready_grad()), 2 * expected)


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
    assert backend.to_host(flat.ready_grad()).tolist() == [2, 2, 0, 0, 0]


def test_gradients_survive_being_taken_in() -> None:
    p = Parameter(np.ones(2))
    (p * 3).sum().backward()
    flat = FlatParameters([p])
    assert flat.ready_grad().tolist() == [3, 3] and p.grad.tolist() == [3, 3]


def test_assigned_gradient_is_copied_into_the_buffer(device: str) -> None:
    p = Parameter(np.ones(2, "float32"))
    flat = FlatParameters([p])
    p.grad = np.float32([4, 5])
    assert backend.to_host(flat.ready_grad()).tolist() == [4, 5]


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
