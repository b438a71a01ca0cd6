"""Layers and losses refuse whole numbers by their type; targets that need a gradient get it."""

import numpy as np
import pytest

from dlcourse import functional as F
from dlcourse import nn
from dlcourse.autograd import Tensor, tensor
from dlcourse.errors import ShapeError

LAYERS = {
    "linear": (nn.Linear(3, 4), (2, 3)),
    "linearrelu": (nn.Sequential(nn.Linear(3, 4), nn.ReLU()), (2, 3)),
    "conv2d": (nn.Conv2d(3, 4, 3), (2, 8, 8, 3)),
    "conv2drelu": (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), (2, 8, 8, 3)),
    "batch_norm": (nn.BatchNorm(3), (4, 3)),
    "batch_norm eval": (nn.BatchNorm(3).eval(), (4, 3)),
    "layernorm": (nn.LayerNorm(3), (4, 3)),
    "group_norm": (nn.GroupNorm(1, 4), (2, 5, 4)),
    "lstm": (nn.LSTM(3, 4), (2, 5, 3)),
    "gru": (nn.GRU(3, 4), (2, 5, 3)),
    "rnn": (nn.RNN(3, 4), (2, 5, 3)),
    "maxpool2d": (nn.MaxPool2d(2), (1, 4, 4, 2)),
    "dropout": (nn.Dropout(0.5), (2, 3)),
}


@pytest.mark.parametrize("kind", ["uint8", "int64", "bool"])
@pytest.mark.parametrize("name", LAYERS)
def test_layers_name_the_types_and_the_mend(name: str, kind: str) -> None:
    layer, shape = LAYERS[name]
    with pytest.raises(ShapeError, match=rf"^{name.split()[0]}: .*{kind}.*astype\('float32'\)"):
        layer(tensor(np.ones(shape, kind)))


@pytest.mark.parametrize("kind", ["float16", "float64"])
@pytest.mark.parametrize("name", LAYERS)
def test_layers_of_float32_take_other_fractions(name: str, kind: str) -> None:
    layer, shape = LAYERS[name]
    y = layer(tensor(np.ones(shape, kind)))
    assert isinstance(y[0] if isinstance(y, tuple) else y, Tensor)


@pytest.mark.parametrize("loss", [F.mse_loss, F.half_sse])
def test_losses_name_the_type_of_whole_outputs(loss) -> None:
    with pytest.raises(ShapeError, match=r"int64.*astype"):
        loss(tensor(np.ones(3, "int64")), np.zeros(3))
    with pytest.raises(ShapeError, match=r"int64.*astype"):
        F.cross_entropy(tensor(np.ones((2, 3), "int64")), np.array([0, 1]))


def _nll(x: Tensor, y: Tensor) -> Tensor:
    return F.gaussian_nll(F.concatenate([x, 0.3 * x], 1), y)


def _torch_nll(torch, x, y):  # of variances
    return torch.nn.functional.gaussian_nll_loss(x, y, (0.6 * x).exp(), full=True, eps=0, reduction="sum") / len(x)


@pytest.mark.parametrize("above", [None, 3.0])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (F.mse_loss, lambda torch, x, y: torch.nn.functional.mse_loss(x, y)),
        (F.half_sse, lambda torch, x, y: 0.5 * ((x - y) ** 2).sum()),
        (_nll, _torch_nll),
    ],
)
def test_targets_that_need_a_gradient_get_pytorchs(ours, theirs, above: float | None, device: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    rng = np.random.default_rng(0).normal(size=(2, 4, 3))
    a, b = (tensor(values, requires_grad=True) for values in rng)
    c, d = (torch.tensor(values, requires_grad=True) for values in rng)
    ours(a, b).backward(above)
    theirs(torch, c, d).backward(torch.tensor(above or 1.0, dtype=torch.float64))
    np.testing.assert_allclose(a.grad.numpy(), c.grad, rtol=1e-10)
    np.testing.assert_allclose(b.grad.numpy(), d.grad, rtol=1e-10)


def test_a_target_alone_gets_its_gradient_in_its_own_type(device: str) -> None:
    target = tensor(np.zeros((2, 2), "float64"), requires_grad=True)
    F.mse_loss(tensor(np.ones((2, 2), "float32")), target * 2).backward()
    assert target.grad.dtype == np.float64 and target.grad.tolist() == [[-1, -1], [-1, -1]]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_probabilities_as_targets_get_their_gradient(smoothing: float, device: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    logits, targets = np.random.default_rng(0).normal(size=(2, 4, 3))
    a, b = (tensor(values, requires_grad=True) for values in (logits, np.abs(targets)))
    c, d = (torch.tensor(values, requires_grad=True) for values in (logits, np.abs(targets)))
    F.cross_entropy(a, b, label_smoothing=smoothing).backward()
    torch.nn.functional.cross_entropy(c, d, label_smoothing=smoothing).backward()
    np.testing.assert_allclose(a.grad.numpy(), c.grad, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(b.grad.numpy(), d.grad, rtol=1e-10)
