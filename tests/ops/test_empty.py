"""Of nothing: what PyTorch gives, NaN or an empty array, without warnings, or a clear word."""

import warnings

import numpy as np
import pytest

from dlcourse import functional as F
from dlcourse import nn
from dlcourse.autograd import Tensor, tensor
from dlcourse.errors import ShapeError

NO_LABELS = np.zeros(0, "int64")
NAN = {
    "mse_loss": (lambda x: F.mse_loss(x, np.zeros((0, 4), "f")), (0, 4)),
    "cross_entropy": (lambda x: F.cross_entropy(x, NO_LABELS), (0, 4)),
    "smoothed": (lambda x: F.cross_entropy(x, NO_LABELS, label_smoothing=0.1), (0, 4)),
    "sequences": (lambda x: F.cross_entropy(x, np.zeros((3, 0), "int64")), (3, 0, 4)),
    "hinge": (lambda x: F.multiclass_hinge(x, NO_LABELS), (0, 4)),
    "gaussian_nll": (lambda x: F.gaussian_nll(x, np.zeros((0, 2), "f")), (0, 4)),
    "mean": (lambda x: x.mean(), (0, 4)),
    "mean axis": (lambda x: x.mean(axis=0), (0, 4)),
    "var": (lambda x: x.var(), (0,)),
    "var of one": (lambda x: x.var(), (1,)),
    "var of one, axis": (lambda x: x.var(axis=1), (3, 1)),
}


@pytest.mark.parametrize("name", NAN)
def test_no_numbers_have_no_mean(name: str, device: str) -> None:
    compute, shape = NAN[name]
    x = tensor(np.ones(shape, "f"), requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = compute(x)
        y.backward(np.ones(y.shape))
    assert np.isnan(y.numpy()).all() and x.grad.shape == shape
    assert not name.startswith("var of") or np.isnan(x.grad.numpy()).all()


def test_sums_of_nothing_are_0(device: str) -> None:
    x = tensor(np.ones((0, 4), "f"), requires_grad=True)
    assert F.half_sse(x, np.zeros((0, 4))).item() == x.sum().item() == 0
    assert x.sum(axis=0).tolist() == [0] * 4 and x.mean(axis=1).shape == (0,)
    assert F.logsumexp(x, 0).tolist() == [-np.inf] * 4
    assert tensor([1.0]).var(correction=0).item() == 0


@pytest.mark.parametrize(
    ("first", "second"), [((0, 3), (3, 4)), ((2, 0), (0, 3)), ((2, 3), (3, 0)), ((0,), (0,)), ((0, 2, 3), (3, 1))]
)
def test_products_with_an_empty_axis(first: tuple, second: tuple, device: str) -> None:
    a, b = (tensor(np.ones(shape, "f"), requires_grad=True) for shape in (first, second))
    y = a @ b
    np.testing.assert_array_equal(y.numpy(), np.ones(first) @ np.ones(second))
    y.backward(np.ones(y.shape))
    assert not a.grad.numpy().any() and not b.grad.numpy().any()


LAYERS = {
    "linear": (nn.Linear(3, 4), (0, 3)),
    "sequence": (nn.Linear(3, 4), (2, 0, 3)),
    "relu": (nn.Sequential(nn.Linear(3, 4), nn.ReLU()), (0, 3)),
    "gelu": (nn.Sequential(nn.Linear(3, 4), nn.GELU("tanh")), (0, 3)),
    "conv": (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2)), (0, 8, 8, 3)),
    "pool": (nn.Sequential(nn.AvgPool2d(2), nn.GlobalAvgPool2d()), (0, 8, 8, 3)),
    "layer norm": (nn.LayerNorm(3), (0, 3)),
    "group norm": (nn.GroupNorm(2, 4), (0, 5, 4)),
    "batch norm": (nn.BatchNorm(3).eval(), (0, 3)),
    "lstm": (nn.LSTM(3, 4), (0, 5, 3)),
    "gru": (nn.GRU(3, 4), (0, 5, 3)),
    "rnn": (nn.RNN(3, 4), (0, 5, 3)),
    "attention": (nn.MultiHeadAttention(4, 2), (0, 5, 4)),
    "dropout": (nn.Dropout(0.5), (0, 3)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_take_an_empty_batch(name: str) -> None:
    layer, shape = LAYERS[name]
    x = tensor(np.ones(shape, "f"), requires_grad=True)
    y = layer(x)
    y = y[0] if isinstance(y, tuple) else y
    assert isinstance(y, Tensor) and y.size == 0
    y.backward(np.ones(y.shape))
    assert x.grad.shape == shape
    assert not any(parameter.grad.numpy().any() for parameter in layer.parameters())


def test_what_needs_a_number_says_so() -> None:
    empty = tensor(np.zeros((0, 3), "f"))
    for call in (lambda: empty.max(), lambda: empty.min(dim=0), lambda: empty.argmax(), lambda: nn.BatchNorm(3)(empty)):
        with pytest.raises(ShapeError, match=r"\(0, 3\)|\(0,\)"):
            call()
