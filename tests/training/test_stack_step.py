"""A step of a stack as a GPU records it: the same bits as call by call, and each replica's own step to rounding."""

import warnings

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import backend, models, nn, optim
from dlcourse.backend import random
from dlcourse.data import Loader, Split
from dlcourse.data.normalizer import Normalizer
from dlcourse.optim.schedules import CosineSchedule
from dlcourse.sweeps import run_sweep
from dlcourse.training.stack import Stack

pytestmark = pytest.mark.skipif(
    "config.getoption('--device') != 'cuda'", reason="recording is for a GPU (--device cuda)"
)
RATES, STEPS = (0.01, 0.1, 0.3), 8
FULL = {"clip_norm": 0.5, "ema": 0.9, "l2": 1e-3, "schedule": CosineSchedule(10)}


def net(name, number):
    if name == "softmax":
        return models.SoftmaxModel((6,), 4)
    layers = [
        nn.Linear(6, 9, bias=False),
        nn.BatchNorm(9),
        nn.ReLU(),
        nn.Dropout((0.2, 0.5, 0.5)[number]),
        nn.Linear(9, 4),
    ]
    return nn.Sequential(*layers)


def steps_of(name, captured):
    """A step of each replica, with the draws that it was made with."""
    steps, all_draws = [], []
    for number, rate in enumerate(RATES):
        all_draws.append(random.Draws())
        with random.drawing(all_draws[-1]):
            random.manual_seed(number)
            model = net(name, number)
            loss = nn.CrossEntropyLoss(label_smoothing=(0.0, 0.1, 0.2)[number])
            kind, more = (optim.SGD, {}) if name == "softmax" else (optim.Adam, FULL)
            steps.append(dl.TrainStep(model, loss, kind(model.parameters(), lr=rate), **more))
            steps[-1].capture = captured
    return steps, all_draws


def batches():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(27, 6)).astype("f"), rng.integers(0, 4, 27)
    unchanged = Normalizer(0.0, 1.0)
    return Loader(Split(x, y, np.arange(27)), unchanged, backend.current(), "float32", 6, seed=0, shuffle=True)


def taken(step, loader):
    losses = []
    while step.step < STEPS:
        found = step.runner.advance(step, loader, STEPS - step.step)
        losses.append(backend.to_host(found).reshape(len(found), -1))
    return np.concatenate(losses)


def trained(name, captured):
    """Weights and losses of all after some steps, and the step object."""
    steps, draws = steps_of(name, captured)
    step = Stack(steps, draws).joint
    losses = taken(step, batches())
    return np.stack([backend.to_host(each.flat.data) for each in steps]), losses, step


@pytest.mark.parametrize("name", ["softmax", "mlp"])
def test_recorded_and_call_by_call_are_the_same_bits_and_each_by_itself_to_rounding(name, device):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        weights, losses, step = trained(name, True)
    assert step.runner.graphs and losses.shape == (STEPS, len(RATES))
    assert all(each.step == each.optimizer.steps == STEPS for each in step.stack.steps)
    plain, others, eager = trained(name, False)
    assert not eager.runner.graphs
    np.testing.assert_array_equal(weights, plain)
    np.testing.assert_array_equal(losses, others)
    steps, all_draws = steps_of(name, False)
    for number, (alone, draws) in enumerate(zip(steps, all_draws, strict=True)):
        with random.drawing(draws):
            own = taken(alone, batches())
        np.testing.assert_allclose(losses[:, number], own[:, 0], rtol=1e-4)
        np.testing.assert_allclose(weights[number], backend.to_host(alone.flat.data), rtol=1e-3, atol=1e-5)


def test_a_stacked_sweep_on_a_device_is_recorded(tmp_path, device):
    config = {
        "name": "small",
        "data": {"name": "spirals", "samples": 80, "split": {"val": 0.2}},
        "model": {"name": "mlp", "hidden": [8], "batch_norm": True},
        "loss": "cross_entropy",
        "optimizer": {"name": "sgd", "lr": 0.1},
        "train": {"epochs": 2, "batch_size": 16, "log_every": 4, "eval_every": 4},
        "metrics": ["accuracy", "cross_entropy"],
        "sweep": {"grid": {"optimizer.lr": [0.01, 1e38, 0.1], "seed": [0, 1]}},
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        together = run_sweep(config, device=device, out=tmp_path / "a", quiet=True, plots=False, stack=True)
    text = (together.folder / "log.txt").read_text()
    assert "stacked: 6 of 6 points in 2 groups" in text and "by itself" not in text  # a seed has batches of its own
    alone = run_sweep(config, device=device, out=tmp_path / "b", quiet=True, plots=False, stack=False)
    assert [point.status for point in together.points] == ["done"] * 2 + ["diverged"] * 2 + ["done"] * 2
    for one, other in zip(alone.points, together.points, strict=True):
        assert (one.status, one.error) == (other.status, other.error)
        assert other.metrics == pytest.approx(one.metrics, rel=1e-3, abs=1e-6)
