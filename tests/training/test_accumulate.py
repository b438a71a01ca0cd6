"""A batch in parts makes the update of the whole batch, whatever the loss sums or averages."""

import functools

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import functional as F
from dlcourse import nn, optim
from dlcourse.errors import ArgumentError

X = np.random.default_rng(0).normal(size=(10, 3)).astype("f")
Y = np.random.default_rng(1).normal(size=(10, 2)).astype("f")
LABELS = np.arange(10) % 2


def own_sum(outputs, targets):
    return ((outputs - dl.Tensor(targets)) ** 2).sum()


def own_mean(outputs, targets):
    return ((outputs - dl.Tensor(targets)) ** 2).mean()


class Declared:
    reduction = "sum"

    def __call__(self, outputs, targets):
        return own_sum(outputs, targets)


LOSSES = {
    "half_sse": (F.half_sse, Y),
    "mse": (F.mse_loss, Y),
    "modules": (nn.HalfSSELoss(), Y),
    "own sum": (own_sum, Y),
    "own mean": (own_mean, Y),
    "declared": (Declared(), Y),
    "lambda": (lambda o, t: F.half_sse(o, t) / 7, Y),
    "partial": (functools.partial(F.cross_entropy, label_smoothing=0.1), LABELS),
    "summed": (functools.partial(F.cross_entropy, reduction="sum"), LABELS),
    "cross entropy": (F.cross_entropy, LABELS),
    "negative": (lambda o, t: -F.cross_entropy(o, t), LABELS),
}


def trained(loss_fn, y, **settings) -> tuple[np.ndarray, list[float]]:
    dl.manual_seed(0)
    model = nn.Linear(3, 2)
    step = dl.TrainStep(model, loss_fn, optim.SGD(model.parameters(), lr=0.01, momentum=0.5), **settings)
    losses = [step(X, y).item() for _ in range(4)]
    return model.weight.numpy().copy(), losses


@pytest.mark.parametrize("parts", [2, 3, 4, 10, 16])
@pytest.mark.parametrize("name", LOSSES)
def test_parts_make_the_update_of_the_whole(name: str, parts: int, device: str) -> None:
    loss_fn, y = LOSSES[name]
    for settings in ({}, {"l2": 0.3, "clip_norm": 0.5}):
        whole, parted = trained(loss_fn, y, **settings), trained(loss_fn, y, accumulate=parts, **settings)
        np.testing.assert_allclose(parted[0], whole[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(parted[1], whole[1], rtol=1e-5)


def test_a_loss_that_parts_do_not_make_is_refused(device: str) -> None:
    def root(outputs, targets):
        return own_mean(outputs, targets).sqrt()

    with pytest.raises(ArgumentError, match="neither their sum nor their mean.*reduction = 'mean'"):
        trained(root, Y, accumulate=2)
    root.reduction = "mean"
    trained(root, Y, accumulate=2)


def test_a_first_loss_of_zero_tells_nothing_yet(device: str) -> None:
    def hinge(outputs, targets):
        return ((dl.Tensor(targets) - outputs).clip(min=0) ** 2).sum()

    results = []
    for accumulate in (1, 5):
        model = nn.Linear(3, 2, bias=False)
        model.weight.data[...] = 0
        step = dl.TrainStep(model, hinge, optim.SGD(model.parameters(), lr=0.01), accumulate=accumulate)
        for y in (-np.ones((10, 2), "f"), Y, Y):
            step(X, y)
        results.append(model.weight.numpy().copy())
    np.testing.assert_allclose(*results, rtol=1e-5)
    step.loss_fn = own_mean  # another loss is looked at anew
    step(X, Y)
    assert step._reduction == "mean"
