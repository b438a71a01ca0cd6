"""Hooks of tensors: gradients that are seen, replaced and kept, as PyTorch's."""

from types import ModuleType
from typing import Any

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import functional as F
from dlcourse import nn, optim
from dlcourse.autograd.graph import Node
from dlcourse.errors import ShapeError


@pytest.fixture(autouse=True)
def unwatched_afterwards():
    yield
    Node.watched = False


def several_uses(of: ModuleType) -> list:
    """A result and a leaf that are used several times, with hooks, some of them asked for after a use."""
    seen: list = []
    x = of.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x * x
    total = (3 * y).sum()
    y.retain_grad()
    y.register_hook(lambda grad: 2 * grad)
    x.register_hook(lambda grad: seen.append(grad.tolist()))
    total = total + (x * y).sum() + y.exp().mean()
    total.backward()
    return [x.grad.tolist(), y.grad.tolist(), seen, y.retains_grad, x.retains_grad]


def gradients_as_values(of: ModuleType) -> list:
    x = of.tensor([1.0, 2.0], requires_grad=True)
    x.register_hook(lambda grad: 10 * grad)
    y = 2 * x
    handle = y.register_hook(lambda grad: 100 * grad)
    first = of.autograd.grad((y + 3 * x).sum(), [x, y])
    handle.remove()
    handle.remove()
    return [grad.tolist() for grad in (*first, *of.autograd.grad((2 * x + 3 * x).sum(), [x]))]


def a_leaf_and_a_part(of: ModuleType) -> list:
    x = of.tensor([1.0, 2.0], requires_grad=True)
    with x.register_hook(lambda grad: 5 * grad):
        x.backward(of.tensor([1.0, 1.0]))
    x.backward(of.tensor([1.0, 1.0]))
    a, b = x[:1], x[1:]
    b.retain_grad()
    b.retain_grad()
    for _ in range(2):
        (a * b).sum().backward(retain_graph=True)
    return [x.grad.tolist(), b.grad.tolist(), a.grad]


@pytest.mark.parametrize("case", [several_uses, gradients_as_values, a_leaf_and_a_part])
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_gradients_are_pytorchs(case: Any, device: str) -> None:
    assert case(dl) == case(pytest.importorskip("torch"))


def test_a_parameter_in_a_step_of_training_has_hooks(device: str) -> None:
    model, seen = nn.Linear(2, 3).to(device), []
    step = dl.TrainStep(model, F.mse_loss, optim.SGD(model.parameters(), lr=0.1))
    before = model.weight.numpy().copy(), model.bias.numpy().copy()
    model.weight.register_hook(lambda grad: 0 * grad)
    model.bias.register_hook(lambda grad: seen.append(grad.shape))
    assert not step.can_capture
    for _ in range(2):
        step(np.ones((4, 2), "f"), np.zeros((4, 3), "f"))
    np.testing.assert_array_equal(model.weight.numpy(), before[0])
    assert (model.bias.numpy() != before[1]).all()
    assert seen == [(3,), (3,)]


def test_what_a_hook_does_to_its_gradient_in_place_changes_no_other(device: str) -> None:
    x = dl.ones(3, requires_grad=True)
    y, z = x * 1, x * 1
    y.register_hook(lambda grad: None if grad.fill_(7).ndim else grad)
    (y + z).sum().backward()
    assert x.grad.tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (
            lambda: dl.ones(2).register_hook(print),
            RuntimeError,
            "register_hook: the tensor does not require a gradient",
        ),
        (lambda: dl.ones(2).retain_grad(), RuntimeError, "retain_grad: the tensor does not require"),
        (lambda: dl.ones(2, requires_grad=True).register_hook(3), TypeError, "a hook is a function, got a int"),
        (lambda: _returning(lambda grad: grad[:1]), ShapeError, r"of shape \(2,\), got one of shape \(1,\)"),
        (lambda: _returning(lambda grad: 3), ShapeError, r"of shape \(2,\), got a int"),
    ],
)
def test_what_does_not_go_is_said(call: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        call()


def _returning(hook: Any) -> None:
    x = dl.ones(2, requires_grad=True)
    y = x * 1
    y.register_hook(hook)
    y.sum().backward()
