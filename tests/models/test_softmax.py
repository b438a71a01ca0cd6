"""The linear classifier."""

import math

import numpy as np

from dlcourse import backend, models, nn, optim
from dlcourse.training.step import TrainStep


def test_it_starts_knowing_nothing_and_learns(device: str) -> None:
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 4, 200)
    pictures = draw.normal(size=(200, 3, 3, 2)) + draw.normal(size=(4, 3, 3, 2))[labels]
    x, y = (backend.current().asarray(a) for a in (pictures.astype(np.float32), labels))
    model = models.SoftmaxModel((3, 3, 2), 4).to(device=device)
    assert model.weight.shape == (4, 18) and not model.bias.numpy().any()
    step = TrainStep(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.5))
    assert abs(step(x, y).item() - math.log(4)) < 1e-3
    for _ in range(100):
        step(x, y)
    assert (model(x).argmax(axis=1).numpy() == labels).mean() > 0.9


def test_the_scale_is_the_standard_deviation_of_the_first_weights() -> None:
    weights = models.SoftmaxModel((32, 32, 3), 10, scale=0.01).weight.numpy()
    assert abs(weights.std() / 0.01 - 1) < 0.02 and abs(weights.mean()) < 3e-4
    assert not models.SoftmaxModel((2,), 2, scale=0.0).weight.numpy().any()
