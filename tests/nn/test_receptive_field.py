"""Receptive fields from the graph of a forward pass, against where gradients arrive and against published sizes."""

from collections.abc import Callable

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import functional as F
from dlcourse import nn
from dlcourse.autograd import Tensor
from dlcourse.models.resnet import ResNet
from dlcourse.models.vgg import VGG
from dlcourse.nn.activation import ACTIVATIONS
from dlcourse.nn.receptive_field import FieldsOf, receptive_fields


def images(size: int = 40, channels: int = 2) -> Tensor:
    return dl.ones(1, size, size, channels)


class Function(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]):
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Branches(nn.Module):
    """Modules side by side, joined by a function."""

    def __init__(self, join: Callable[..., Tensor], *branches: nn.Module):
        super().__init__()
        self.branches, self.join = nn.ModuleList(branches), join

    def forward(self, x: Tensor) -> Tensor:
        return self.join(*(branch(x) for branch in self.branches))


def joined(*parts: Tensor) -> Tensor:
    return F.concatenate(parts, axis=-1)


LINEAR = {
    "stride and padding": lambda: [nn.Conv2d(2, 2, 3, stride=2, padding=1), nn.Conv2d(2, 2, 5, padding=1)],
    "dilation": lambda: [nn.Conv2d(2, 2, (3, 1), dilation=(3, 1)), nn.Conv2d(2, 2, 3, dilation=2)],
    "same": lambda: [nn.Conv2d(2, 2, 4, padding="same"), nn.AvgPool2d(3, 2, padding=1)],
    "groups": lambda: [nn.Conv2d(2, 4, 3, groups=2, bias=False), nn.AvgPool2d(2), nn.Conv2d(4, 4, 1)],
    "reflected": lambda: [nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"), nn.Conv2d(2, 2, 3, stride=3)],
    "branches": lambda: [
        Branches(joined, nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 5, padding=2), nn.AvgPool2d(3, 1, padding=1)),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 2, 3),
    ],
    "uneven branches": lambda: [Branches(joined, nn.Conv2d(2, 2, 2), Function(lambda x: x[:, 1:, 1:]))],
    "residual": lambda: [Branches(lambda a, b: a + 0.5 * b, nn.Identity(), nn.Conv2d(2, 2, 3, padding=1))],
    "option A": lambda: [
        nn.Conv2d(2, 2, 3),
        Branches(lambda a, b: a + b, nn.Conv2d(2, 2, 3, stride=2, padding=1), Function(lambda x: x[:, ::2, ::2])),
    ],
    "norms": lambda: [nn.Conv2d(2, 2, 3), nn.BatchNorm(2), nn.Dropout(0.5), nn.Linear(2, 3), nn.AvgPool2d(3, 2)],
    "tokens and back": lambda: [nn.Conv2d(2, 2, 3), Function(lambda x: x.reshape(1, 1, *x.shape[1:])[0])],
}
"""Nets without maxima and negative weights: the gradient of an output is not 0 where its field is."""


@pytest.mark.parametrize("case", LINEAR)
def test_it_is_where_gradients_arrive(case: str) -> None:
    net = nn.Sequential(*LINEAR[case]()).eval()
    for parameter in net.parameters():
        parameter.data[...] = 1
    x = images()
    x.requires_grad = True
    y = net(x)
    place = tuple(size // 2 for size in y.shape[1:3])
    (y[(0, *place)].sum()).backward()
    reached = np.nonzero(x.grad.numpy()[0].any(axis=-1))
    field = receptive_fields(net, images())[""]
    if case == "tokens and back":  # a fifth axis is no image
        assert str(field) == "?"
        return
    assert field.bounds(place) == tuple((at.min(), at.max() + 1) for at in reached)


def test_sequences() -> None:
    """As WaveNet's stack: dilations 1, 2, 4 double the field."""
    layers = [nn.Conv1d(3, 3, 2, dilation=d) for d in (1, 2, 4)]
    fields = receptive_fields(nn.Sequential(*layers, nn.MaxPool1d(2), nn.ReLU()), dl.ones(1, 20, 3))
    assert [str(fields[name]) for name in "01234"] == ["2", "4", "8", "9", "9"]
    assert fields["4"].step == (2,)


def test_published_sizes() -> None:
    layers = [2, 2, "pool", 2, 2, "pool", *[2] * 3, "pool", *[2] * 3, "pool", *[2] * 3, "pool"]
    vgg16 = receptive_fields(VGG((32, 32, 2), 3, layers, batch_norm=False), images(32))
    assert [str(vgg16[f"layers.{index}"]) for index in (28, 30)] == ["196 x 196", "212 x 212"]
    resnet20 = receptive_fields(ResNet((32, 32, 2), 3, depth=20, width=2), images(32))
    assert str(resnet20["blocks"]) == "81 x 81"
    assert resnet20[""].bounds((5, 5)) == ((0, 32), (0, 32))


@pytest.mark.parametrize(
    "layer",
    [
        nn.Sequential(nn.Flatten(), nn.Linear(128, 4)),
        nn.GlobalAvgPool2d(),
        nn.AdaptiveAvgPool2d(1),
        nn.GroupNorm(1, 2),
        Function(lambda x: x * x.mean(axis=(1, 2), keepdims=True).sigmoid()),
        Function(lambda x: x.reshape(1, 64, 2) @ x.reshape(1, 2, 64)),
    ],
)
def test_whole(layer: nn.Module) -> None:
    field = receptive_fields(nn.Sequential(layer), images(8))[""]
    assert (str(field), field.size) == ("all", (8, 8))


def test_whole_of_a_series() -> None:
    encoder = nn.MultiHeadAttention(4, 2)
    assert str(receptive_fields(encoder, dl.ones(1, 6, 4))[""]) == "all"
    assert str(receptive_fields(nn.LSTM(4, 3), dl.ones(1, 6, 4))[""]) == "all"


class Own(dl.Function):
    """A function of a user's: nobody says what it looks at."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        return x * 2

    def backward(self, dout: np.ndarray) -> np.ndarray:
        return dout * 2


UNKNOWN = {
    "of a user": lambda x: Own.apply(x),
    "channels first": lambda x: x.transpose(0, 3, 1, 2),
    "one row": lambda x: x[:, 0],
    "rows of positions": lambda x: x.reshape(-1, 2),
    "softmax over rows": lambda x: F.softmax(x, axis=1),
    "mean of columns": lambda x: x.mean(axis=2),
    "steps that differ": lambda x: x[:, ::2, ::2] + x[:, :4, :4],
    "turned": lambda x: x[:, ::-1],
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_what_is_not_known_is_not_guessed(case: str) -> None:
    net = nn.Sequential(Function(UNKNOWN[case]), nn.ReLU(), Function(lambda x: x.mean()))
    fields = receptive_fields(net, images(8))
    assert [str(fields[name]) for name in "01"] == ["?", "?"]


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_activations_look_at_one_position(name: str) -> None:
    net = nn.Sequential(nn.Conv2d(2, 2, 3), ACTIVATIONS[name]())
    assert str(receptive_fields(net, images(8))["1"]) == "3 x 3"


def test_modules_that_the_input_does_not_reach() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.other, self.idle = nn.Conv2d(2, 2, 3), nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            self.other(dl.ones(1, 2))
            return self.used(x)

    net = Net().train()
    assert list(receptive_fields(net, images())) == ["used", ""]
    assert net.used.training


def test_half_precision() -> None:
    net = nn.Sequential(nn.Conv2d(2, 2, 3), nn.SELU(), nn.Softmax(dim=-1)).to(dtype="float16")
    assert str(receptive_fields(net, images().to(dtype="float16"))[""]) == "3 x 3"


def test_deep_nets_need_no_deep_stack() -> None:
    x = FieldsOf(images(4))
    y = x.x
    for _ in range(3000):
        y = y + 1
    assert str(x.field(y)) == "1 x 1"
