"""The nets of lectures 8 to 13: shapes, sizes known from the papers, and that each learns to repeat one batch."""

import numpy as np
import pytest

from dlcourse import models, nn, optim
from dlcourse.autograd import tensor
from dlcourse.errors import ShapeError, UserError
from dlcourse.training.step import TrainStep

DRAW = np.random.default_rng(0)
IMAGES = DRAW.normal(size=(8, 16, 16, 3)).astype(np.float32)
LABELS = DRAW.integers(0, 5, 8)
TEXT = DRAW.integers(0, 11, (4, 12))

NETS = {
    "cnn": (lambda: models.CNN((16, 16, 3), 5, channels=[4, 8], hidden=[16], batch_norm=True), IMAGES, LABELS),
    "vgg": (lambda: models.VGG((16, 16, 3), 5, [4, "pool", 8, "pool"]), IMAGES, LABELS),
    "resnet": (lambda: models.ResNet((16, 16, 3), 5, depth=8, width=4), IMAGES, LABELS),
    "lenet": (lambda: models.LeNet((16, 16, 3), 5, pool="max"), IMAGES, LABELS),
    "wide resnet": (lambda: models.WideResNet((16, 16, 3), 5, depth=10, widen=1), IMAGES[:, ::2, ::2], LABELS),
    "excited": (lambda: models.ResNet((16, 16, 3), 5, depth=8, width=4, squeeze=2), IMAGES, LABELS),
    "mobilenet": (lambda: models.MobileNet((16, 16, 3), 5, channels=[8, 16], width=0.5), IMAGES, LABELS),
    "googlenet": (lambda: models.GoogLeNet((16, 16, 3), 5, [[4, 2, 4, 2, 4, 4], "pool"], 0.5), IMAGES, LABELS),
    "vit": (lambda: models.VisionTransformer((16, 16, 3), 5, layers=2, heads=2, width=16), IMAGES, LABELS),
    "cct": (
        lambda: models.VisionTransformer((16, 16, 3), 5, tokenizer=[8], layers=1, width=16, pool="sequence"),
        IMAGES,
        LABELS,
    ),
    "rnn": (lambda: models.CharRNN((12,), 11, kind="rnn", hidden=32, embedding=8), TEXT, np.roll(TEXT, -1, 1)),
    "lstm": (lambda: models.CharRNN((12,), 11, kind="lstm", hidden=32, embedding=8), TEXT, np.roll(TEXT, -1, 1)),
    "gru": (lambda: models.CharRNN((12,), 11, kind="gru", hidden=32, layers=2), TEXT, np.roll(TEXT, -1, 1)),
    "gpt": (lambda: models.GPT((12,), 11, layers=2, heads=2, width=16), TEXT, np.roll(TEXT, -1, 1)),
}


@pytest.mark.parametrize("name", NETS)
def test_a_net_learns_one_batch_by_heart(name: str, device: str) -> None:
    build, x, y = NETS[name]
    net = build()
    inputs = tensor(x) if x.dtype.kind == "f" else x
    assert net(inputs).shape == (*y.shape, net.out_features)
    step = TrainStep(net, nn.CrossEntropyLoss(), optim.Adam(net.parameters(), lr=1e-2))
    first = step(x, y).item()
    assert first == pytest.approx(np.log(net.out_features), rel=0.5)
    for _ in range(60):
        last = step(x, y).item()
    assert last < 0.3 * first


PUBLISHED = {
    "ResNet-20, He et al. 2015, table 6": (lambda: models.ResNet((32, 32, 3), 10, depth=20), 0.27),
    "ResNet-32": (lambda: models.ResNet((32, 32, 3), 10, depth=32), 0.46),
    "ResNet-56": (lambda: models.ResNet((32, 32, 3), 10, depth=56), 0.85),
    "WRN-40-1, Zagoruyko & Komodakis 2016, table 5": (lambda: models.WideResNet((32, 32, 3), 10, 40, 1), 0.6),
    "WRN-16-8": (lambda: models.WideResNet((32, 32, 3), 10, 16, 8), 11.0),
    "MobileNet, Howard et al. 2017, table 6": (lambda: models.MobileNet((112, 112, 3), 1000), 4.2),
    "MobileNet, half as wide, table 6": (lambda: models.MobileNet((112, 112, 3), 1000, width=0.5), 1.3),
    "DeiT-S, Touvron et al. 2021, table 1": (lambda: vit((224, 224, 3), 1000, None, 16, 12, 384, 4), 22),
    "CCT-7/3x1, Hassani et al. 2021, table 2": (lambda: vit((32, 32, 3), 10, [], None, 7, 256, 2), 3.8),
    "CCT-2/3x2": (lambda: vit((32, 32, 3), 10, [64], None, 2, 128, 1), 0.28),
}
"""Millions of parameters, with as many digits as the papers give."""


def vit(
    shape: tuple, classes: int, tokenizer: list | None, patch: int | None, layers: int, width: int, ratio: int
) -> nn.Module:
    pool = "token" if tokenizer is None else "sequence"
    more = {"layers": layers, "width": width, "feedforward": ratio * width, "pool": pool}
    return models.VisionTransformer(shape, classes, patch, tokenizer, **more)


@pytest.mark.parametrize("name", PUBLISHED)
def test_nets_have_the_papers_number_of_parameters(name: str) -> None:
    build, millions = PUBLISHED[name]
    digits = len(str(millions).partition(".")[2])
    assert round(sum(p.size for p in build().parameters()) / 1e6, digits) == millions


def test_lenet_on_the_papers_images() -> None:
    """28 x 28 pixels get a border up to the paper's 32; layers C1, S2, C3, S4, C5, F6 of its figure 2."""
    net = models.LeNet((28, 28, 1), 10)
    assert sum(p.size for p in net.parameters()) == 61_706
    rows = nn.summarize(net, np.zeros((1, 28, 28, 1), np.float32)).rows
    shapes = [(28, 28, 6), (14, 14, 6), (10, 10, 16), (5, 5, 16), (400,), (120,), (84,), (10,)]
    assert list(dict.fromkeys(row.out_shape[1:] for row in rows[2:])) == shapes
    assert models.LeNet((32, 32, 3), 10).layers[7].in_features == 400


def test_vgg_by_its_depth() -> None:
    """13 convolutions and one linear layer, with 14.7 million weights in the former (their known number)."""
    net = models.VGG((32, 32, 3), 10, 16, batch_norm=False)
    weights = [p.size for p in net.parameters() if p.ndim == 4]
    assert (len(weights), sum(weights)) == (13, 14_710_464)


def test_an_inception_block_has_the_papers_number_of_weights() -> None:
    """Szegedy et al. 2014, table 1, blocks 3a and 3b, in units of 1024."""
    net = models.GoogLeNet((32, 32, 3), 10)
    found = [sum(p.size for p in block.parameters() if p.ndim == 4) / 1024 for block in net.layers[3:5]]
    assert found == pytest.approx([159, 380], rel=0.005)


def test_multiplications_of_mobilenet_are_the_papers() -> None:
    """569 million multiply-adds for 224 x 224 pixels and a first stride of 2 (table 6): the same as here for half of
    the size and none."""
    net = models.MobileNet((112, 112, 3), 1000)
    rows = nn.summarize(net, np.zeros((1, 112, 112, 3), np.float32)).rows
    products = sum(row.flops for row in rows if row.kind in ("Conv2d", "Linear")) / 2
    assert round(products / 1e6) == 569


def test_a_resnet_of_no_such_depth() -> None:
    with pytest.raises(ValueError, match="6 n \\+ 2"):
        models.ResNet((32, 32, 3), 10, depth=21)


def test_the_cnn_is_the_homeworks() -> None:
    net = models.CNN((32, 32, 3), 10, channels=[32], hidden=[100], kernel_size=7)
    assert [p.shape for p in net.parameters()] == [
        (32, 7, 7, 3), (32,), (100, 8192), (100,), (10, 100), (10,),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "build",
    [
        lambda: models.CNN((4, 4, 1), 2, channels=[2, 2, 2], hidden=[]),
        lambda: models.VGG((4, 4, 1), 2, ["pool", "pool", "pool"]),
        lambda: models.ResNet((10,), 2),
        lambda: models.LeNet((10,), 2),
        lambda: models.GoogLeNet((2, 2, 1), 2),
        lambda: models.VGG((16, 16, 3), 2, 11),
        lambda: models.GPT((3, 4), 2),
        lambda: models.GPT((8,), 5, context=4)(np.zeros((1, 8), dtype=int)),
    ],
)
def test_inputs_that_do_not_fit(build) -> None:
    with pytest.raises(ShapeError):
        build()


def test_a_transformer_does_not_see_the_future() -> None:
    net = models.GPT((12,), 11, layers=2, heads=2, width=16)
    changed = TEXT.copy()
    changed[:, 7:] = (changed[:, 7:] + 1) % 11
    before, after = net(TEXT).numpy(), net(changed).numpy()
    np.testing.assert_array_equal(before[:, :7], after[:, :7])
    assert not np.allclose(before[:, 7:], after[:, 7:])


def test_tied_weights_are_one_parameter() -> None:
    tied, free = (models.GPT((12,), 11, width=16, tied=tied) for tied in (True, False))
    assert sum(p.size for p in free.parameters()) - sum(p.size for p in tied.parameters()) == 11 * 16


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: models.ResNet((32, 32, 3), 10, depth=9), "depth is 6 n"),
        (lambda: models.WideResNet((32, 32, 3), 10, depth=20), "depth is 6 n"),
        (lambda: models.GoogLeNet((8, 8, 3), 10, [[1, 2, 3]]), "six numbers"),
        (lambda: models.CNN((32, 32, 3), 10, channels=[8], hidden=[], kernel_size=4), "kernel_size is odd"),
        (lambda: models.GPT((16,), 20, width=128, heads=3), "dim 128 does not fall into 3 heads"),
    ],
)
def test_sizes_that_do_not_go_together_are_the_configs_mistake_and_not_the_programs(make, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"patch_size": 5}, ShapeError, "patches of 5 x 5 pixels do not divide an image of 16 x 12"),
        ({"patch_size": 4, "tokenizer": [8]}, UserError, "leave out patch_size or tokenizer"),
        ({"batch_norm": True}, UserError, "there is no tokenizer"),
        ({"heads": 3, "width": 16}, UserError, "16 does not fall into 3 heads"),
    ],
)
def test_vision_transformers_that_cannot_be(settings: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        models.VisionTransformer((16, 12, 3), 5, **settings)
    with pytest.raises(ShapeError, match="vit: an input is an image"):
        models.VisionTransformer((16,), 5)


def test_tokens_of_an_image() -> None:
    """One for each patch and the class token; of odd sides a convolution's pooling leaves the larger half."""
    tokens = {
        (16, 12, 3): ({}, 13),
        (7, 9, 1): ({"tokenizer": []}, 21),
        (9, 9, 1): ({"tokenizer": [4], "pool": "mean"}, 9),
        (8, 8, 3): ({"positions": "sinusoidal"}, 5),
    }
    for shape, (settings, count) in tokens.items():
        net = models.VisionTransformer(shape, 5, layers=1, width=8, **settings)
        table = net.position_embedding if net.position_encoding is None else net.position_encoding.table
        assert table.shape == (count, 8)
        assert net(tensor(np.ones((2, *shape), np.float32))).shape == (2, 5)
