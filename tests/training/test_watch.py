"""``train.watch``: what a step does to each layer, seen without touching it."""

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import backend, nn, optim
from dlcourse import functional as F
from dlcourse.config import from_mapping
from dlcourse.errors import ConfigError, UserError
from dlcourse.experiment import load_run
from dlcourse.training.watch import _looks_until

NET: dict[str, Any] = {
    "name": "watched",
    "device": "cpu",
    "data": {"name": "synthetic_images", "samples": 120, "classes": 3, "image_size": 8, "split": {"val": 0.2}},
    "model": {"name": "vgg", "layers": [4, "pool"], "dropout": 0.3},
    "loss": "cross_entropy",
    "optimizer": {"name": "adam", "lr": 0.01, "schedule": {"name": "cosine", "warmup": 3}},
    "metrics": ["accuracy"],
    "train": {"epochs": 4, "batch_size": 16, "clip_norm": 0.5, "l2": 1e-3, "ema": 0.9, "checkpoint_every": 5},
}


def go(out: Path, optimizer: Any = NET["optimizer"], **train: Any):
    config = {**NET, "optimizer": optimizer, "train": {**NET["train"], **train}}
    return dl.run(config, out=out, quiet=True, plots=False)


def state(folder: Path) -> dict[str, np.ndarray]:
    return load_run(folder).model.state_dict()


def lines(folder: Path) -> list[dict]:
    events = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in event.items() if key != "seconds"} for event in events]


@pytest.mark.filterwarnings("error")
def test_weights_that_are_zero_are_moved_without_a_warning() -> None:
    model = nn.Linear(3, 1)
    model.weight.data[...] = model.bias.data[...] = 0.0
    step = dl.TrainStep(model, F.mse_loss, optim.SGD(model.parameters(), lr=0.5))
    facts = dl.inspect_step(step, np.ones((2, 3), "float32"), np.ones((2, 1), "float32"))["(model)"]
    assert facts["weight"] == 0 and facts["ratio"] == float("inf")


def test_the_numbers_are_those_of_the_next_update(device: str) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 3)).astype("float32"), np.array([0, 1, 1, 0, 1, 0])
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    model[0].bias.data[0] = -100.0  # this unit is dead
    step = dl.TrainStep(model, F.cross_entropy, optim.SGD(model.parameters(), lr=0.5), clip_norm=1e-3)
    xp = backend.current()
    found = dl.inspect_step(step, x, y)
    assert {name: facts["kind"] for name, facts in found.items()} == {"0": "Linear", "1": "ReLU", "2": "Linear"}
    assert step.step == 0 and all(p.grad is None for p in model.parameters())
    hidden = model[0](dl.tensor(x))
    shown = F.relu(hidden).numpy()
    F.cross_entropy(model[2](F.relu(hidden)), xp.asarray(y)).backward()
    grads = {name: p.grad.numpy() for name, p in model.named_parameters()}
    norm = np.sqrt(sum((grads[f"0.{part}"] ** 2).sum() for part in ("weight", "bias")))
    weight = np.sqrt(sum((p.numpy() ** 2).sum() for p in (model[0].weight, model[0].bias)))
    whole = np.sqrt(sum((grad**2).sum() for grad in grads.values()))
    assert found["0"]["gradient"] == pytest.approx(norm, rel=1e-4)  # before it is clipped
    assert found["0"]["weight"] == pytest.approx(weight, rel=1e-4) and found["0"]["size"] == 16
    assert found["0"]["ratio"] == pytest.approx(0.5 * norm * 1e-3 / whole / weight, rel=0.02)
    with pytest.raises(TypeError, match="expected a TrainStep, got a Sequential"):
        dl.inspect_step(model, x, y)
    assert found["1"]["mean"] == pytest.approx(shown.mean(), rel=1e-4)
    assert found["1"]["std"] == pytest.approx(shown.std(), rel=1e-4)
    assert found["1"]["dead"] == np.mean((shown == 0).all(axis=0)) >= 0.25
    assert found["1"]["low"] == 0 and found["1"]["high"] == pytest.approx(shown.max(), rel=1e-4)
    assert found["1"]["counts"] == np.histogram(shown, bins=40)[0].tolist() and "counts" not in found["0"]


def test_a_gradient_that_vanishes_is_no_zero() -> None:
    model = nn.Sequential(nn.Linear(3, 1), nn.Linear(1, 1))
    model[1].weight.data[...] = 1e-25  # whose square no float32 holds
    step = dl.TrainStep(model, F.mse_loss, optim.SGD(model.parameters(), lr=0.5))
    facts = dl.inspect_step(step, np.ones((2, 3), "float32"), np.ones((2, 1), "float32"))["0"]
    assert 1e-26 < facts["gradient"] < 1e-23


def test_training_goes_on_as_without_it(tmp_path: Path) -> None:
    plain, watched = go(tmp_path / "plain"), go(tmp_path / "watched", watch=True)
    for name, array in state(plain.folder).items():
        assert np.array_equal(array, state(watched.folder)[name]), name
    seen = lines(watched.folder)
    assert [event for event in seen if event["event"] != "watch"] == lines(plain.folder)
    looks = [event for event in seen if event["event"] == "watch"]
    assert looks[0]["step"] == 0 and [event["step"] for event in looks[1:]] == [6, 12, 18]
    assert all(np.isfinite(facts["gradient"]) for facts in looks[-1]["layers"].values() if "gradient" in facts)


def test_a_run_that_is_resumed_looks_at_the_same_steps(tmp_path: Path) -> None:
    constant = {"name": "adam", "lr": 0.01}
    whole = go(tmp_path / "whole", constant, watch=True)
    part = go(tmp_path / "part", constant, watch=True, epochs=2)
    dl.run(resume=part.folder, overrides={"train.epochs": 4}, quiet=True, plots=False)
    assert [line for line in lines(part.folder) if line["event"] != "final"] == lines(whole.folder)[:-1]


def test_looks_get_rare() -> None:
    assert [_looks_until(step) for step in (0, 1, 2, 4, 511, 512, 768)] == [0, 1, 2, 3, 9, 10, 11]


def test_a_frozen_layer_and_half_precision(tmp_path: Path) -> None:
    config = {
        **NET,
        "precision": "fp16",
        "train": {"steps": 3, "batch_size": 16, "watch": True, "freeze": ["layers.0"]},
    }
    found = dl.run(config, out=tmp_path, quiet=True, plots=False)
    first = next(event for event in found.history if event["event"] == "watch")["layers"]
    assert first["layers.0"]["gradient"] == first["layers.0"]["ratio"] == 0.0
    assert first["layers.6"]["ratio"] >= 0.0


def test_a_closed_form_has_no_steps_to_watch() -> None:
    config = {"data": "westwood_rent", "model": "linear", "optimizer": "least_squares", "train": {"watch": True}}
    with pytest.raises(ConfigError, match=r"train.watch: has no effect with the optimizer least_squares"):
        from_mapping(config)


def test_a_model_with_weights_of_its_own_and_one_that_cannot_be_copied() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            self.inner, self.scale = nn.Linear(2, 2), nn.Parameter(np.ones(1, dtype="float32"))

        def forward(self, x):
            return self.inner(x) * self.scale

    model = Scaled()
    step = dl.TrainStep(model, F.cross_entropy, optim.SGD(model.parameters(), lr=0.1))
    x, y = np.eye(2, dtype="float32"), np.array([0, 1])
    assert list(dl.inspect_step(step, x, y)) == ["(model)", "inner"]
    model.lock = threading.Lock()
    with pytest.raises(UserError, match="needs a copy of the model, which cannot be made: TypeError"):
        dl.inspect_step(step, x, y)
