"""Convolutions in every setting against PyTorch's layers, and what they refuse."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dlcourse import functional as F
from dlcourse import nn
from dlcourse.autograd import Tensor, tensor
from dlcourse.errors import ArgumentError, ShapeError
from dlcourse.nn.summary import summarize

X = {1: (2, 11, 6), 2: (2, 11, 9, 6)}

SETTINGS: list[tuple[str, int, dict[str, Any]]] = [
    ("Conv1d", 1, {"kernel_size": 4, "stride": 2, "padding": 3, "groups": 3}),
    ("Conv1d", 1, {"kernel_size": 3, "padding": "same", "dilation": 4, "padding_mode": "reflect"}),
    ("Conv1d", 1, {"kernel_size": 4, "padding": "same", "padding_mode": "circular"}),
    ("Conv2d", 2, {"kernel_size": 3, "padding": 1, "groups": 6}),
    ("Conv2d", 2, {"kernel_size": (2, 5), "padding": "same", "dilation": 3, "groups": 2, "bias": False}),
    ("Conv2d", 2, {"kernel_size": 3, "padding": "valid", "padding_mode": "replicate"}),
    ("Conv2d", 2, {"kernel_size": (3, 4), "stride": 2, "padding": (2, 1), "padding_mode": "replicate"}),
    ("ConvTranspose1d", 1, {"kernel_size": 4, "stride": 2, "padding": 1, "output_padding": 1}),
    ("ConvTranspose2d", 2, {"kernel_size": (3, 2), "stride": (2, 3), "groups": 3, "bias": False}),
    ("ConvTranspose2d", 2, {"kernel_size": 3, "padding": 1, "dilation": (1, 3), "output_padding": (0, 2)}),
]


@pytest.mark.parametrize(("name", "axes", "settings"), SETTINGS)
def test_layers_are_pytorchs(name: str, axes: int, settings: dict, device: str) -> None:
    """In float32, the type for which there are other ways than the plain one."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    ours, theirs = getattr(nn, name)(6, 12, **settings), getattr(torch.nn, name)(6, 12, **settings)
    state = {key: torch.tensor(np.moveaxis(array, -1, 1)) for key, array in ours.state_dict().items() if "w" in key}
    theirs.load_state_dict(state, strict=False)
    if settings.get("bias", True):
        theirs.bias.data = torch.tensor(ours.bias.numpy())
    x = np.random.default_rng(0).normal(size=X[axes]).astype("f")
    own, other = tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, expected = ours(own), theirs(other.movedim(-1, 1)).movedim(1, -1)
    np.testing.assert_allclose(y.numpy(), expected.detach().numpy(), rtol=1e-5, atol=1e-5)
    (y * y).sum().backward()
    (expected * expected).sum().backward()
    np.testing.assert_allclose(own.grad.numpy(), other.grad.numpy(), rtol=1e-4, atol=1e-4)
    for key, parameter in theirs.named_parameters():
        grad = parameter.grad.movedim(1, -1) if parameter.ndim > 1 else parameter.grad
        np.testing.assert_allclose(getattr(ours, key).grad.numpy(), grad.numpy(), rtol=1e-4, atol=1e-4)


def test_an_output_size_says_which_of_several_is_meant() -> None:
    down, up = nn.Conv2d(3, 4, 3, stride=2), nn.ConvTranspose2d(4, 3, 3, stride=2)
    for size in ((8, 9), (9, 10)):
        x = tensor(np.zeros((1, *size, 3), "f"))
        assert up(down(x), output_size=size).shape == x.shape == up(down(x), output_size=x.shape).shape
    with pytest.raises(ShapeError, match=r"output_size is between \[7, 9\] and \[8, 10\], got \(9, 9\)"):
        up(tensor(np.zeros((1, 3, 4, 4), "f")), output_size=(9, 9))


def test_a_relu_that_follows_is_one_pass() -> None:
    net = nn.Sequential(nn.Conv1d(3, 4, 3, padding=1, padding_mode="reflect"), nn.ReLU())
    x = tensor(np.random.default_rng(0).normal(size=(2, 7, 3)).astype("f"))
    np.testing.assert_array_equal(net(x).numpy(), np.maximum(net[0](x).numpy(), 0))
    assert net[0].fused_with(net[1]) is not None


def test_multiplications_are_counted() -> None:
    x = Tensor(np.zeros((1, 10, 8), "f"))
    assert summarize(nn.Conv1d(8, 6, 3, groups=2), x).flops == 2 * 8 * 6 * 3 * 4
    assert summarize(nn.ConvTranspose1d(8, 6, 3, stride=2, groups=2), x).flops == 2 * 10 * 8 * 3 * 3


def images(*shape: int) -> Tensor:
    return tensor(np.zeros(shape or (1, 5, 5, 3), "f"))


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda: nn.Conv2d(3, 4, 3, padding="full"), ArgumentError, "padding is numbers, 'valid', or with stride 1"),
        (lambda: nn.Conv2d(3, 4, 3, 2, "same"), ArgumentError, "or with stride 1 'same', got 'same' with stride"),
        (lambda: nn.Conv1d(3, 4, 3, padding_mode="mirror"), ArgumentError, "padding_mode is one of zeros, reflect"),
        (lambda: nn.Conv1d(3, 4, (3, 3)), ValueError, "kernel_size: expected a whole number of at least 1, got"),
        (lambda: nn.Conv1d(4, 4, 3, groups=0), ValueError, "channels are multiples of groups"),
        (lambda: nn.Conv2d(3, 4, 3, padding=5, padding_mode="reflect")(images()), ShapeError, "adds at most 4"),
        (lambda: nn.Conv1d(3, 4, 3)(images()), ShapeError, r"conv1d: expected x \(N, T, C\) and weight \(O, k, C"),
        (lambda: nn.Conv1d(3, 4, 9)(images(1, 5, 3)), ShapeError, r"the kernel \(9,\) does not fit into \(1, 5, 3\)"),
        (lambda: F.conv2d(images(), images(4, 3, 3, 3), groups=0), ShapeError, "groups=0"),
        (lambda: F.conv2d(images(), images(4, 3, 3, 3), stride=2, padding="same"), ArgumentError, "goes with stride 1"),
        (
            lambda: F.conv2d(images(), images(4, 3, 3, 3), padding="half"),
            ArgumentError,
            "'same' or 'valid', got 'half'",
        ),
        (
            lambda: nn.ConvTranspose2d(3, 4, 3, 2, 0, 2),
            ArgumentError,
            r"output_padding is smaller than .* got \(2, 2\)",
        ),
        (lambda: nn.ConvTranspose2d(4, 3, 3)(images()), ShapeError, r"weight \(C, kh, kw, O / groups\), got \(1, 5, 5"),
        (lambda: nn.ConvTranspose2d(3, 4, 3, padding=4)(images()), ShapeError, "nothing is left of the output"),
        (lambda: F.conv_transpose1d(images(1, 5, 3), images(3, 3, 2), images(3)), ShapeError, r"expected bias \(2,\)"),
        (lambda: F.pad(images(), (1, 1, 1, 1), "reflect"), ShapeError, r"channels are last, got \(1, 1, 1, 1\)"),
        (lambda: F.pad(images(), (0, 0, 1, 1), "mirror"), ArgumentError, "mode is one of constant, reflect"),
        (lambda: F.pad(images(), (0, 0, 1)), ShapeError, "expected whole numbers, two for each axis"),
        (lambda: F.pad(images(), 1), ShapeError, "expected whole numbers, two for each axis"),
        (lambda: F.pad(images(), (0, 0, -3, -3)), ShapeError, r"\(-3, -3\) leaves nothing of an axis of 5"),
        (lambda: F.pad(images(), (0, 0, 0, 0, 1, 1), "circular", 1.0), ArgumentError, "a value goes with mode="),
    ],
)
def test_what_does_not_fit_is_named(wrong: Callable, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        wrong()
