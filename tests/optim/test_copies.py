"""A model or optimizer that was copied trains, and the first one stays where it is."""

import copy
import multiprocessing
import pickle

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import functional as F
from dlcourse import nn, optim


def pickled(value: object) -> object:
    return pickle.loads(pickle.dumps(value))


COPIES = {"deepcopy": copy.deepcopy, "pickle": pickled}
X, Y = np.random.default_rng(0).normal(size=(6, 3)).astype("f"), np.arange(6) % 2


def net(numbers: str = "float32") -> nn.Module:
    dl.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm(4), nn.Linear(4, 2)).to(dtype=numbers)


def weights(model: nn.Module) -> np.ndarray:
    return np.concatenate([array.reshape(-1) for array in model.state_dict().values()])


def in_a_loop(model: nn.Module, optimizer: optim.Optimizer, steps: int = 3) -> np.ndarray:
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(model(dl.tensor(X.astype(model[0].weight.dtype))).to(dtype="float32"), Y).backward()
        optimizer.step()
    return weights(model)


def by_train_step(model: nn.Module, optimizer: optim.Optimizer, steps: int = 3) -> np.ndarray:
    step = dl.TrainStep(model, F.cross_entropy, optimizer)
    for _ in range(steps):
        step(X, Y)
    return weights(model)


@pytest.mark.parametrize("numbers", ["float32", "float16"])
@pytest.mark.parametrize("train", [in_a_loop, by_train_step])
@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("what", ["model", "pair", "optimizer of its own", "graph"])
def test_a_copy_trains_as_the_first_would(what: str, way: str, train, numbers: str, device: str) -> None:
    model = net(numbers)
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    train(model, optimizer, 2)
    if what == "graph":  # gradients are there, and one is held
        optimizer.zero_grad()
        F.cross_entropy(model(dl.tensor(X.astype(model[0].weight.dtype))).to(dtype="float32"), Y).backward()
        assert model[0].weight.grad is not None
    if what in ("model", "graph"):
        twin = COPIES[way](model)
        second = optim.Adam(twin.parameters(), lr=0.05)
        second.load_state_dict(optimizer.state_dict())
    elif what == "pair":
        twin, second = COPIES[way]((model, optimizer))
    else:
        second, twin = COPIES[way]((optimizer, model))
    before = weights(model)
    np.testing.assert_array_equal(weights(twin), before)
    trained = train(twin, second)
    np.testing.assert_array_equal(weights(model), before)
    assert (trained != before).any()
    np.testing.assert_array_equal(train(model, optimizer), trained)
    np.testing.assert_array_equal(weights(twin), trained)


@pytest.mark.parametrize("way", COPIES)
def test_a_copied_train_step_goes_on_by_itself(way: str, device: str) -> None:
    model = net()
    step = dl.TrainStep(model, F.cross_entropy, optim.Adam(model.parameters()), ema=0.5, l2=0.1)
    step(X, Y)
    twin = COPIES[way](step)
    for _ in range(3):
        twin(X, Y)
    before = weights(model)
    for _ in range(3):
        step(X, Y)
    np.testing.assert_array_equal(weights(model), weights(twin.model))
    assert (weights(model) != before).any() and twin.step == step.step == 4


def test_a_copy_has_no_gradient_and_keeps_what_is_frozen(device: str) -> None:
    model = net()
    model[0].weight.requires_grad = False
    F.cross_entropy(model(dl.tensor(X)), Y).backward()
    twin = copy.deepcopy(model)
    assert all(p.grad is None for p in twin.parameters()) and model[2].weight.grad is not None
    assert not twin[0].weight.requires_grad and type(twin[0].weight) is nn.Parameter


@pytest.mark.parametrize("way", COPIES)
def test_what_is_tied_is_tied_in_the_copy(way: str, device: str) -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    model[1].bias.data = model[0].bias.data
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    for twin, second in ((model, optimizer), COPIES[way]((model, optimizer))):
        before = weights(twin)
        F.cross_entropy(twin(dl.tensor(X)), Y).backward()
        second.step()
        assert twin[1].weight is twin[0].weight and (weights(twin) != before).any()
        np.testing.assert_array_equal(twin[0].bias.numpy(), twin[1].bias.numpy())


class Scaled(nn.Parameter):
    """A parameter of one's own with attributes."""


def test_a_parameter_of_a_class_of_ones_own_keeps_its_attributes() -> None:
    p = Scaled(np.ones(3, "f"))
    p.rate = 0.5
    twin = copy.deepcopy(p)
    assert type(twin) is Scaled and twin.rate == 0.5 and twin.requires_grad


def _train(connection, model) -> None:
    connection.send(in_a_loop(model, optim.Adam(model.parameters(), lr=0.05)))


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_a_worker_process_trains_the_copy_that_it_got(start: str) -> None:
    model = net()
    optim.Adam(model.parameters(), lr=0.05)
    context = multiprocessing.get_context(start)
    here, there = context.Pipe()
    worker = context.Process(target=_train, args=(there, model))
    worker.start()
    assert here.poll(60), "the worker did not answer"
    found = here.recv()
    worker.join()
    np.testing.assert_array_equal(found, in_a_loop(model, optim.Adam(model.parameters(), lr=0.05)))
