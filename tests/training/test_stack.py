"""Steps of a stack against the same steps of each model by itself."""

import numpy as np
import pytest

from dlcourse import TrainStep, nn, optim
from dlcourse.autograd.replicas import NotStackable
from dlcourse.backend import random
from dlcourse.training.stack import Stack, signature

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(12, 4)).astype("float32"), RNG.integers(0, 3, 12)


def made(*layers, seed, lr=0.1):
    """A step and its random draws; ``layers`` make the model's layers."""
    draws = random.Draws()
    with random.drawing(draws):
        random.manual_seed(seed)
        model = nn.Sequential(*(layer() for layer in layers))
        return TrainStep(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=lr, momentum=0.9)), draws


def weights(step):
    return {name: array for name, array in step.model.state_dict().items()}


@pytest.mark.parametrize("first", [lambda: nn.Dropout(0.5), nn.Flatten, lambda: nn.BatchNorm(4)])
def test_equal_to_the_steps_of_each(first):
    layers = first, lambda: nn.Linear(4, 5), nn.Tanh, lambda: nn.Linear(5, 3)
    settings = [(seed, lr) for seed in (0, 1) for lr in (0.01, 0.1)]
    together, alone = ([made(*layers, seed=seed, lr=lr) for seed, lr in settings] for _ in range(2))
    stack = Stack(*zip(*together, strict=True))
    for size in (12, 7, 12):
        losses = [float(loss[0]) for loss in stack.step([(X[:size], Y[:size])] * 4)]
        for (step, draws), loss in zip(alone, losses, strict=True):
            with random.drawing(draws):
                assert step(X[:size], Y[:size]).item() == pytest.approx(loss, rel=1e-5)
    outputs = stack.outputs([X] * 4)
    for (one, _), (other, _), output in zip(together, alone, outputs, strict=True):
        for name, array in weights(other).items():
            np.testing.assert_allclose(weights(one)[name], array, rtol=1e-4, atol=1e-6)
        assert output.shape == (12, 3)


def test_batches_of_different_lengths_are_taken_by_each():
    together, alone = ([made(lambda: nn.Linear(4, 3), seed=seed) for seed in (0, 1)] for _ in range(2))
    stack = Stack(*zip(*together, strict=True))
    stack.step([(X, Y), (X[:5], Y[:5])])
    stack.step([(X, Y), (X, Y)])
    for (step, draws), sizes in zip(alone, ((12, 12), (5, 12)), strict=True):
        with random.drawing(draws):
            for size in sizes:
                step(X[:size], Y[:size])
    for (one, _), (other, _) in zip(together, alone, strict=True):
        np.testing.assert_allclose(one.flat.data, other.flat.data, rtol=1e-5, atol=1e-7)


def test_a_probe_changes_nothing():
    stack = Stack(*zip(*(made(lambda: nn.BatchNorm(4), lambda: nn.Linear(4, 3), seed=s) for s in (0, 1)), strict=True))
    before = [weights(step) for step in stack.steps]
    stack.probe([(X, Y)] * 2)
    for step, kept in zip(stack.steps, before, strict=True):
        for name, array in weights(step).items():
            np.testing.assert_array_equal(array, kept[name])


def test_weights_that_are_shared_are_refused():
    tied = []
    for _ in range(2):
        model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        model[1].weight.data = model[0].weight.data
        tied.append((TrainStep(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1)), random.Draws()))
    with pytest.raises(NotStackable, match="shared"):
        Stack(*zip(*tied, strict=True))


def test_what_may_differ_in_a_stack():
    def model(p=0.5, width=4, eps=1e-5):
        return nn.Sequential(nn.Linear(2, width), nn.BatchNorm(width, eps=eps), nn.Dropout(p))

    assert signature(model()) == signature(model(p=0.1))
    assert len({signature(each) for each in (model(), model(width=5), model(eps=1e-3))}) == 3


class Counting(nn.Module):
    """A layer with a buffer that changes in training, which is no running statistic."""

    def __init__(self):
        super().__init__()
        self.register_buffer("seen", np.zeros(1, "float32"))

    def forward(self, x):
        self.seen += 1
        return x * float(self.seen[0])


def test_a_buffer_that_all_replicas_would_share_is_refused():
    stack = Stack(*zip(*(made(Counting, lambda: nn.Linear(4, 3), seed=seed) for seed in (0, 1)), strict=True))
    with pytest.raises(NotStackable, match="0.seen changes in training"):
        stack.probe([(X, Y)] * 2)
