"""The convolutional nets against the same nets written in PyTorch: outputs and gradients from the same weights."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dlcourse import models
from dlcourse.autograd import tensor
from dlcourse.nn import Module

torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
T, F = torch.nn, torch.nn.functional

SHAPE, CLASSES = (16, 16, 3), 4


def rows(x: Any) -> Any:
    """Images (N, C, H, W) as rows in the order of channels-last arrays."""
    return x.permute(0, 2, 3, 1).flatten(1)


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, norm: bool = True) -> Any:
    layer = T.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=not norm)
    return T.Sequential(layer, T.BatchNorm2d(outputs), T.ReLU()) if norm else T.Sequential(layer, T.ReLU())


class Net(T.Module):
    """Layers in the order of ours, and how an input goes through them."""

    def __init__(self, forward: Callable, *layers: Any):
        super().__init__()
        self.layers, self.run = T.ModuleList(layers), forward

    def forward(self, x: Any) -> Any:
        return self.run(x, *self.layers)


def lenet() -> Any:
    def forward(x: Any, c1: Any, c2: Any, f1: Any, f2: Any, f3: Any) -> Any:
        x = F.avg_pool2d(torch.tanh(c2(F.avg_pool2d(torch.tanh(c1(x)), 2))), 2)
        return f3(torch.tanh(f2(torch.tanh(f1(rows(x))))))

    layers = T.Conv2d(3, 6, 5, padding=8), T.Conv2d(6, 16, 5), T.Linear(400, 120), T.Linear(120, 84)
    return Net(forward, *layers, T.Linear(84, CLASSES))


def vgg() -> Any:
    def forward(x: Any, a: Any, b: Any, c: Any, head: Any) -> Any:
        return head(rows(F.max_pool2d(c(F.max_pool2d(b(a(x)), 2)), 2)))

    return Net(forward, conv(3, 4, 3), conv(4, 4, 3), conv(4, 6, 3), T.Linear(96, CLASSES))


def residual(inputs: int, outputs: int, stride: int, squeeze: int | None) -> Any:
    def forward(x: Any, c1: Any, n1: Any, c2: Any, n2: Any, down: Any = None, up: Any = None) -> Any:
        y = n2(c2(torch.relu(n1(c1(x)))))
        if down is not None:
            y = y * torch.sigmoid(up(torch.relu(down(y.mean((2, 3))))))[:, :, None, None]
        shortcut = F.pad(x[:, :, ::stride, ::stride], (0, 0, 0, 0, 0, outputs - inputs))
        return torch.relu(y + shortcut)

    convs = (T.Conv2d(inputs, outputs, 3, stride, 1, bias=False), T.Conv2d(outputs, outputs, 3, 1, 1, bias=False))
    layers = [convs[0], T.BatchNorm2d(outputs), convs[1], T.BatchNorm2d(outputs)]
    if squeeze:
        layers += [T.Linear(outputs, outputs // squeeze), T.Linear(outputs // squeeze, outputs)]
    return Net(forward, *layers)


def resnet(squeeze: int | None = None) -> Any:
    def forward(x: Any, stem: Any, blocks: Any, head: Any) -> Any:
        return head(blocks(stem(x)).mean((2, 3)))

    blocks = [residual(4, 4, 1, squeeze), residual(4, 8, 2, squeeze), residual(8, 16, 2, squeeze)]
    return Net(forward, conv(3, 4, 3), T.Sequential(*blocks), T.Linear(16, CLASSES))


def pre_activation(inputs: int, outputs: int, stride: int) -> Any:
    def forward(x: Any, n1: Any, c1: Any, n2: Any, c2: Any, shortcut: Any = None) -> Any:
        z = torch.relu(n1(x))
        return c2(torch.relu(n2(c1(z)))) + (x if shortcut is None else shortcut(z))

    layers = [T.BatchNorm2d(inputs), T.Conv2d(inputs, outputs, 3, stride, 1, bias=False)]
    layers += [T.BatchNorm2d(outputs), T.Conv2d(outputs, outputs, 3, 1, 1, bias=False)]
    if inputs != outputs:
        layers.append(T.Conv2d(inputs, outputs, 1, stride, bias=False))
    return Net(forward, *layers)


def wide_resnet() -> Any:
    def forward(x: Any, stem: Any, blocks: Any, norm: Any, head: Any) -> Any:
        return head(torch.relu(norm(blocks(stem(x)))).mean((2, 3)))

    sizes = [(16, 16, 1), (16, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1)]
    blocks = T.Sequential(*(pre_activation(*size) for size in sizes))
    return Net(forward, T.Conv2d(3, 16, 3, 1, 1, bias=False), blocks, T.BatchNorm2d(64), T.Linear(64, CLASSES))


def mobilenet() -> Any:
    def forward(x: Any, layers: Any, head: Any) -> Any:
        return head(layers(x).mean((2, 3)))

    sizes = [(32, 8, 1), (8, 12, 2), (12, 12, 1), (12, 16, 2)]
    blocks = [T.Sequential(conv(a, a, 3, stride, a), conv(a, b, 1)) for a, b, stride in sizes]
    return Net(forward, T.Sequential(conv(3, 32, 3), *blocks), T.Linear(16, CLASSES))


def inception(inputs: int, one: int, reduce3: int, three: int, reduce5: int, five: int, pool: int) -> Any:
    def forward(x: Any, *branches: Any) -> Any:
        return torch.cat([branch(x) for branch in branches], dim=1)

    pooled = T.Sequential(T.MaxPool2d(3, 1, 1), conv(inputs, pool, 1))
    wide = (T.Sequential(conv(inputs, r, 1), conv(r, n, k)) for r, n, k in ((reduce3, three, 3), (reduce5, five, 5)))
    return Net(forward, conv(inputs, one, 1), *wide, pooled)


def googlenet() -> Any:
    def forward(x: Any, stem: Any, a: Any, b: Any, head: Any) -> Any:
        return head(b(F.max_pool2d(a(stem(x)), 2)).mean((2, 3)))

    blocks = inception(6, 2, 3, 4, 1, 2, 3), inception(11, 1, 2, 3, 2, 2, 2)
    return Net(forward, conv(3, 6, 3), *blocks, T.Linear(8, CLASSES))


def encoder_layer() -> Any:
    settings = {"activation": "gelu", "batch_first": True, "norm_first": True}
    return T.TransformerEncoderLayer(8, 2, 32, 0.0, **settings)


class ViT(T.Module):
    """Patches of 4 x 4 and a class token."""

    def __init__(self) -> None:
        super().__init__()
        self.class_token, self.places = T.Parameter(torch.zeros(8)), T.Parameter(torch.zeros(17, 8))
        self.patches, self.blocks = T.Conv2d(3, 8, 4, 4), T.Sequential(encoder_layer(), encoder_layer())
        self.norm, self.head = T.LayerNorm(8), T.Linear(8, CLASSES)

    def forward(self, x: Any) -> Any:
        h = self.patches(x).flatten(2).transpose(1, 2)
        h = torch.cat([self.class_token.expand(len(h), 1, -1), h], 1) + self.places
        return self.head(self.norm(self.blocks(h))[:, 0])


class CCT(T.Module):
    """Two convolutions and sequence pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.places = T.Parameter(torch.zeros(16, 8))
        self.tokenizer = T.Sequential(conv(3, 4, 3), T.MaxPool2d(3, 2, 1), conv(4, 8, 3), T.MaxPool2d(3, 2, 1))
        self.blocks, self.norm = T.Sequential(encoder_layer()), T.LayerNorm(8)
        self.score, self.head = T.Linear(8, 1), T.Linear(8, CLASSES)

    def forward(self, x: Any) -> Any:
        h = self.norm(self.blocks(self.tokenizer(x).flatten(2).transpose(1, 2) + self.places))
        return self.head((self.score(h).softmax(1).transpose(1, 2) @ h)[:, 0])


SMALL = {"layers": 1, "heads": 2, "width": 8}
BLOCKS: list = [[64, 96, 128, 32, 64, 96], "pool", [32, 64, 96, 64, 64, 64]]  # times 1 / 32
PAIRS: dict[str, tuple[Callable[[], Module], Callable[[], Any]]] = {
    "lenet": (lambda: models.LeNet(SHAPE, CLASSES), lenet),
    "vgg": (lambda: models.VGG(SHAPE, CLASSES, [4, 4, "pool", 6, "pool"]), vgg),
    "resnet": (lambda: models.ResNet(SHAPE, CLASSES, depth=8, width=4), resnet),
    "excited": (lambda: models.ResNet(SHAPE, CLASSES, depth=8, width=4, squeeze=2), lambda: resnet(2)),
    "wide resnet": (lambda: models.WideResNet(SHAPE, CLASSES, depth=16, widen=1), wide_resnet),
    "mobilenet": (lambda: models.MobileNet(SHAPE, CLASSES, channels=[8, 12, 12, 16]), mobilenet),
    "googlenet": (lambda: models.GoogLeNet(SHAPE, CLASSES, BLOCKS, width=1 / 32), googlenet),
    "vit": (lambda: models.VisionTransformer(SHAPE, CLASSES, **SMALL | {"layers": 2}), ViT),
    "cct": (
        lambda: models.VisionTransformer(SHAPE, CLASSES, tokenizer=[4], batch_norm=True, pool="sequence", **SMALL),
        CCT,
    ),
}


def in_torchs_order(array: np.ndarray) -> np.ndarray:
    return array.transpose(0, 3, 1, 2) if array.ndim == 4 else array


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("training", [True, False])
def test_outputs_and_gradients(name: str, training: bool) -> None:
    ours, theirs = (build() for build in PAIRS[name])
    ours.to(dtype="float64")
    theirs.double().train(training)
    ours.train(training)
    draw = np.random.default_rng(0)
    pairs = list(zip(ours.parameters(), theirs.parameters(), strict=True))
    for mine, other in pairs:
        other.data = torch.from_numpy(in_torchs_order(mine.numpy()).copy())
    x, seed = draw.normal(size=(6, *SHAPE)), draw.normal(size=(6, CLASSES))
    mine, other = ours(tensor(x)), theirs(torch.from_numpy(x.transpose(0, 3, 1, 2)))
    np.testing.assert_allclose(mine.numpy(), other.detach().numpy(), rtol=1e-6, atol=1e-7)
    mine.backward(seed)
    other.backward(torch.from_numpy(seed))
    for mine, other in pairs:
        np.testing.assert_allclose(in_torchs_order(mine.grad.numpy()), other.grad.numpy(), rtol=1e-5, atol=1e-6)
