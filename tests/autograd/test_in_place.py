"""Changes in place where a gradient is wanted: PyTorch's gradients, or a clear refusal."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlcourse as dl
from dlcourse.autograd import Tensor
from dlcourse.backend import address
from dlcourse.errors import ArgumentError, ArgumentTypeError, ShapeError

W = np.array([0.5, 1.0, 2.0])


def _filled_by_column(t: Any, w: Any) -> Any:
    out, h = t.zeros(3, 4, dtype=t.float64), w
    for i in range(4):
        h = (h * w).sin()
        out[:, i] = h
    return out


def _masked(t: Any, w: Any) -> Any:
    scores = w[:, None] * w
    scores[scores > 1.5] = -1e3
    return scores.softmax(1)


def _kept_for_backward(t: Any, w: Any) -> Any:
    x = w * 1
    x[0] = w[1]
    y = x * w  # keeps x, which changes after that in memory of its own
    x = x.clone()
    x[1] = 7.0
    return y + x


def _methods(t: Any, w: Any) -> Any:
    x = w * 2
    x.add_(w).mul_(w)
    x.masked_fill_(w > 1.5, 3.0).clamp_(max=2.5)
    return x.exp_()


def _scattered(t: Any, w: Any) -> Any:
    x = t.zeros(4, dtype=t.float64)
    x.scatter_add_(0, t.tensor([1, 1, 3]), w)
    x.index_add_(0, t.tensor([0]), w[2:])
    x += 1
    x[t.tensor([True, False, False, True])] = w[:2]
    return x


def _copied(t: Any, w: Any) -> Any:
    x = t.zeros(2, 3, dtype=t.float64)
    x.copy_(w)
    x[1] -= w
    x[..., -1] *= 2
    return x


def _element_of_an_element(t: Any, w: Any) -> Any:
    x = t.ones(3, 3, dtype=t.float64)
    for i in range(1, 3):
        x[i, 0] = (x[i - 1, 0] if t is dl else x[i - 1, 0].clone()) * w[i]  # PyTorch's saved value would have changed
    return x


@pytest.mark.parametrize(
    "compute",
    [_filled_by_column, _masked, _kept_for_backward, _methods, _scattered, _copied, _element_of_an_element],
    ids=lambda f: f.__name__,
)
def test_gradients_go_through_changes_as_in_pytorch(compute: Callable, device: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    ours, theirs = dl.tensor(W, requires_grad=True), torch.tensor(W, requires_grad=True)
    found, expected = compute(dl, ours), compute(torch, theirs)
    np.testing.assert_allclose(found.numpy(), expected.detach().numpy())
    seed = np.random.default_rng(0).normal(size=found.shape)
    found.backward(seed)
    expected.backward(torch.tensor(seed))
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy())


def test_a_tensor_that_shares_its_memory_is_not_changed_where_a_gradient_is_wanted(device: str) -> None:
    w, x = dl.ones(2, requires_grad=True), dl.zeros(3)
    views = [x[1:]]
    for change in (lambda: x.__setitem__(slice(2), w), lambda: views[0].add_(w), lambda: x.detach().copy_(w.sum())):
        with pytest.raises(RuntimeError, match="shares its memory with another.*x = x.clone"):
            change()
    views.clear()
    x[:2] = w
    assert x.requires_grad and x.tolist() == [1, 1, 0]
    y = (2 * w).reshape(1, 2)  # what it is a view of is gone
    y[0, 0] = 5.0
    y.sum().backward()
    assert w.grad.tolist() == [0, 2]


def test_leaves_and_weights_are_changed_without_recording_only() -> None:
    w, p = dl.ones(2, requires_grad=True), dl.Parameter(np.ones(2, "f"))
    frozen = dl.Parameter(np.ones(2, "f"))
    frozen.requires_grad = False
    for change in (
        lambda: w.__setitem__(0, 1.0),
        lambda: p.mul_(2),
        lambda: frozen.copy_(w),  # a weight is no result of an operation
        lambda: dl.no_grad()((2 * w).zero_)(),
    ):
        with pytest.raises(RuntimeError, match="with dl.no_grad"):
            change()
    assert frozen.is_leaf


def test_a_saved_tensor_changed_in_place_is_noticed() -> None:
    w, x = dl.ones(3, requires_grad=True), dl.ones(3)
    loss = (w * x).sum()
    x[0] = 2.0
    with pytest.raises(RuntimeError, match=r"changed in place, by x\[...\] = ..., after the forward pass"):
        loss.backward()
    e = (w * 1).exp()
    e[0] = 5.0  # exp keeps its result, which stays what it was
    e.sum().backward()
    np.testing.assert_allclose(w.grad.numpy(), [0, np.e, np.e], rtol=1e-6)


def test_writing_part_by_part_copies_nothing() -> None:
    w, out = dl.ones(2, requires_grad=True), dl.zeros(3, 2)
    out[0] = w
    place = address(out.data)
    for i in range(3):
        out[i] = (i + 1) * w
    assert address(out.data) == place
    saved = out * out
    out[0] = w
    assert address(out.data) != place
    saved.sum().backward()
    assert w.grad.tolist() == [28, 28]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda x: x.__setitem__(0, dl.ones(4)), ShapeError, "in a tensor of shape"),
        (lambda x: x.__setitem__(7, 1.0), IndexError, "out of bounds"),
        (lambda x: x.__setitem__(0, None), ArgumentTypeError, "expected numbers, got elements of type object"),
        (lambda x: x.byte().__setitem__(0, 300), ArgumentError, "out of bounds for uint8"),
        (lambda x: x.add_(dl.ones(5, 3)), ShapeError, r"add_: .*\(5, 3\)"),
        (lambda x: x.copy_(dl.ones(4)), ShapeError, r"copy_: .*\(4,\)"),
        (lambda x: x.scatter_add_(0, dl.tensor([0]), dl.ones(1).double()), ArgumentTypeError, "this tensor's type"),
        (lambda x: x.index_fill_(0, dl.tensor([5]), 1.0), IndexError, r"0\.\.2"),
        (lambda x: x.random_(0), ArgumentError, "range"),
    ],
)
def test_what_does_not_fit_is_said_and_changes_nothing(change: Callable, error: type, message: str) -> None:
    x = dl.zeros(3)
    with pytest.raises(error, match=message):
        change(x)
    assert x.tolist() == [0, 0, 0]


def test_methods_with_an_underscore_are_those_without() -> None:
    inputs = {
        "pow": (2,),
        "remainder": (2,),
        "lerp": (1.0, 0.5),
        "addcmul": (dl.ones(3), dl.ones(3)),
        "put": (dl.tensor([1]), 5.0),
    }
    for name in "exp sqrt abs neg sign floor ceil trunc round reciprocal rsqrt sin cos tanh sigmoid relu".split():
        inputs[name] = ()
    for name, more in inputs.items():
        x, same = (dl.tensor([0.5, 1.5, 2.5]) for _ in range(2))
        assert getattr(x, f"{name}_")(*more) is x
        assert x.tolist() == getattr(same, name)(*more).tolist(), name
    assert isinstance(Tensor.exp_.__doc__, str)
