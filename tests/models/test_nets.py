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


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (56, 0.85)])
def test_resnets_have_the_papers_number_of_parameters(depth: int, millions: float) -> None:
    """He et al. 2015, table 6."""
    net = models.ResNet((32, 32, 3), 10, depth=depth)
    assert sum(p.size for p in net.parameters()) / 1e6 == pytest.approx(millions, abs=0.01)


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
        (lambda: models.CNN((32, 32, 3), 10, channels=[8], hidden=[], kernel_size=4), "kernel_size is odd"),
        (lambda: models.GPT((16,), 20, width=128, heads=3), "dim 128 does not fall into 3 heads"),
    ],
)
def test_sizes_that_do_not_go_together_are_the_configs_mistake_and_not_the_programs(make, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()
