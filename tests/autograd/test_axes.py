"""Axes by NumPy's names and PyTorch's, and a clear word where one is not there or means two things."""

import numpy as np
import pytest

from dlcourse import functional as F
from dlcourse.autograd import Tensor, tensor
from dlcourse.errors import ArgumentError, ArgumentTypeError, AxisError, ShapeError

X = np.arange(24.0).reshape(2, 3, 4)[:, ::-1] % 7


def three() -> Tensor:
    return tensor(X, requires_grad=True)


def test_two_numbers_swap_two_axes(device: str) -> None:
    x = three()
    np.testing.assert_array_equal(x.transpose(0, 1).numpy(), X.swapaxes(0, 1))
    np.testing.assert_array_equal(x.transpose(-1, 0).numpy(), X.swapaxes(-1, 0))
    matrix = x[0]
    np.testing.assert_array_equal(matrix.transpose(0, 1).numpy(), X[0].T)
    np.testing.assert_array_equal(matrix.transpose(1, 0).numpy(), X[0].T)
    np.testing.assert_array_equal(matrix.transpose((0, 1)).numpy(), X[0])
    np.testing.assert_array_equal(x.transpose(1, 2, 0).numpy(), X.transpose(1, 2, 0))
    np.testing.assert_array_equal(x.transpose([1, -1, 0]).numpy(), X.transpose(1, 2, 0))


def test_an_axis_without_a_name_that_means_two_things_is_refused() -> None:
    for name in ("max", "min"):
        with pytest.raises(ArgumentTypeError, match=rf"{name}\(axis=1\).*{name}\(dim=1\)"):
            getattr(three(), name)(1)
        with pytest.raises(TypeError, match=rf"F\.{name}imum"):
            getattr(three(), name)(three())
    np.testing.assert_array_equal(three().max((0, 1)).numpy(), X.max((0, 1)))


@pytest.mark.parametrize("name", ["max", "min"])
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_dim_gives_values_and_indices(name: str, keep: bool, axis: int, device: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    x, theirs = three(), torch.tensor(X.copy(), requires_grad=True)
    values, indices = getattr(x, name)(dim=axis, keepdim=keep)
    expected = getattr(theirs, name)(axis, keep)
    np.testing.assert_array_equal(values.numpy(), expected.values.detach())
    np.testing.assert_array_equal(indices.numpy(), expected.indices)
    values.sum().backward()
    expected.values.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), theirs.grad)
    assert not indices.requires_grad


def test_dim_and_keepdim_mean_axis_and_keepdims(device: str) -> None:
    x = three()
    for name in ("sum", "mean", "var"):
        call = getattr(x, name)
        np.testing.assert_array_equal(call(dim=1, keepdim=True).numpy(), call(axis=1, keepdims=True).numpy())
        np.testing.assert_array_equal(call(dim=(0, 2)).numpy(), call((0, 2)).numpy())
    np.testing.assert_array_equal(x.argmax(dim=1, keepdim=True).numpy(), X.argmax(1, keepdims=True))
    for call in (F.softmax, F.log_softmax, F.logsumexp):
        np.testing.assert_array_equal(call(x, dim=1).numpy(), call(x, 1).numpy())
    np.testing.assert_array_equal(F.concatenate([x, x], dim=2).numpy(), np.concatenate([X, X], 2))
    assert x.sum(dim=()).shape == () and x.sum(axis=()).shape == (2, 3, 4)
    np.testing.assert_allclose(F.logsumexp(x, (0, 2), keepdims=True).numpy()[0, :, 0], np.log(np.exp(X).sum((0, 2))))


MISSING = [
    lambda x, axis: x.sum(axis),
    lambda x, axis: x.sum(dim=axis),
    lambda x, axis: x.mean(axis),
    lambda x, axis: x.var(axis),
    lambda x, axis: x.max(axis=axis),
    lambda x, axis: x.min(dim=axis),
    lambda x, axis: x.argmax(axis),
    lambda x, axis: x.transpose(0, axis),
    lambda x, axis: x.transpose((0, 1, axis)),
    lambda x, axis: x.flatten(axis),
    lambda x, axis: F.softmax(x, axis),
    lambda x, axis: F.log_softmax(x, axis),
    lambda x, axis: F.logsumexp(x, axis),
    lambda x, axis: F.concatenate([x, x], axis),
    lambda x, axis: F.stack([x, x], axis + 1 if axis > 0 else axis - 1),
]


@pytest.mark.parametrize("axis", [3, -4])
@pytest.mark.parametrize("call", MISSING)
def test_an_axis_that_is_not_there_is_named(call, axis: int) -> None:
    with pytest.raises(AxisError, match=r"there is no axis -?\d in a tensor of shape") as caught:
        call(three(), axis)
    assert isinstance(caught.value, IndexError) and isinstance(caught.value, ShapeError)


def test_an_axis_is_a_whole_number_and_named_once() -> None:
    x = three()
    for wrong in (1.0, "0", True):
        with pytest.raises(ArgumentError, match="whole number"):
            x.sum(wrong)
    with pytest.raises(ArgumentError, match="give one"):
        x.sum(axis=0, dim=0)
    with pytest.raises(AxisError, match="twice"):
        x.sum((0, -3))
    with pytest.raises(AxisError, match="each axis once"):
        x.transpose((0, 0, 1))


def test_a_tensor_without_axes_has_one_to_name(device: str) -> None:
    x = tensor(2.0, requires_grad=True)
    assert x.sum(0).item() == x.max(axis=-1).item() == x.max(dim=0).values.item() == 2
    assert F.softmax(x, 0).item() == 1 and F.logsumexp(x, 0).item() == 2
    assert x.max(dim=0).indices.item() == 0 and x.transpose(0, -1).item() == 2
