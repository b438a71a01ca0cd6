"""Gradients as values, dl.autograd.grad, and the arguments of backward."""

from collections.abc import Callable

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import nn, optim
from dlcourse.errors import ArgumentError, ArgumentTypeError, ShapeError


def leaf(*values: float) -> dl.Tensor:
    return dl.tensor(values, requires_grad=True)


def test_gradients_of_leaves_and_of_results_leave_grad_alone(device: str) -> None:
    x, unused = leaf(1.0, 2.0), leaf(0.0)
    y = x.exp()
    loss = (y * y).sum() + y.sum()
    to_x, to_y = dl.autograd.grad(loss, (x, y), retain_graph=True)
    np.testing.assert_allclose(to_y.numpy(), 2 * y.numpy() + 1, rtol=1e-6)
    np.testing.assert_allclose(to_x.numpy(), to_y.numpy() * y.numpy(), rtol=1e-6)
    assert dl.autograd.grad(loss, [unused, loss], allow_unused=True, retain_graph=True)[0] is None
    assert x.grad is None and y.grad is None
    (twice,) = dl.autograd.grad([y, loss], x, grad_outputs=[dl.tensor([1.0, 0.0]), None])
    np.testing.assert_allclose(twice.numpy(), to_x.numpy() + [np.e, 0], rtol=1e-6)
    with pytest.raises(RuntimeError, match="graph that is gone"):
        loss.backward()


def test_parameters_of_an_optimizer_keep_what_they_had(device: str) -> None:
    layer = nn.Linear(3, 2)
    optim.SGD(layer.parameters(), lr=0.1)
    x = dl.ones(4, 3)
    before = dl.autograd.grad(layer(x).sum(), list(layer.parameters()))
    assert layer.weight.grad is None
    layer(x).sum().backward()
    kept = layer.weight.grad.clone()
    after = dl.autograd.grad((2 * layer(x)).sum(), layer.weight)
    np.testing.assert_array_equal(layer.weight.grad.numpy(), kept.numpy())
    np.testing.assert_allclose(after[0].numpy(), 2 * before[0].numpy())


def test_a_gradient_is_given_by_name() -> None:
    x = leaf(1.0, 2.0)
    (x * x).backward(gradient=dl.tensor([1.0, 0.5]))
    assert x.grad.tolist() == [2, 2]


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (lambda x: (x * x).sum().backward(create_graph=True), ArgumentError, "no graph of its own"),
        (lambda x: dl.autograd.grad((x * x).sum(), x, create_graph=True), ArgumentError, "no graph of its own"),
        (lambda x: (x * x).sum().backward(inputs=[x]), ArgumentError, "dl.autograd.grad"),
        (lambda x: dl.autograd.grad(x * x, x), ShapeError, "has to be given"),
        (lambda x: dl.autograd.grad((x * x).sum(), leaf(1.0)), ArgumentError, "input 0 was not used"),
        (lambda x: dl.autograd.grad((x * x).sum(), dl.ones(2)), RuntimeError, "does not require"),
        (lambda x: dl.autograd.grad((x * x).sum(), "x"), ArgumentTypeError, "inputs are tensors, got str"),
        (lambda x: dl.autograd.grad((x * x).sum(), x, [None, None]), ArgumentError, "expected 1 grad_outputs"),
        (lambda x: optim.SGD([x], lr=0.1), ArgumentError, "nn.Parameter"),
    ],
)
def test_what_cannot_be_is_said(act: Callable, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        act(leaf(1.0, 2.0))


def test_the_index_of_all_keeps_dimensions() -> None:
    x = dl.tensor([[1.0, 3.0], [2.0, 0.0]])
    assert x.argmax(keepdim=True).tolist() == [[1]] and x.argmin(keepdims=True).tolist() == [[3]]
    assert x.argmax().tolist() == 1
