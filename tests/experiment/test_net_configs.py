"""The configs of nets of lectures 4 and 5 on small made-up data: each shows what its header says, and its picture."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlcourse as dl
from dlcourse.resources import configs_folder
from dlcourse.sweeps import SweepResult, run_sweep

DATA = {"name": "gaussian_classes", "samples": 600, "split": {"val": 0.2, "test": 0.2}, "normalize": "standardize"}


def sweep(name: str, out: Path, **overrides: Any) -> SweepResult:
    changes = {key.replace("__", "."): value for key, value in overrides.items()}
    path = configs_folder() / f"{name}.yaml"
    return run_sweep(path, overrides=changes, out=out, device="cpu", quiet=True)


def measured(result: SweepResult, key: str) -> dict[tuple[Any, ...], float]:
    return {tuple(map(str, point.overrides.values())): point.metrics[key] for point in result.points}


@pytest.mark.parametrize("name", ["cifar10_five_layer", "mnist_dropout"])
def test_deep_nets_learn(name: str, tmp_path: Path) -> None:
    path = configs_folder() / "04_fully_connected" / f"{name}.yaml"
    changes = {"data": DATA, "train.epochs": 10, "train.batch_size": 32}
    result = dl.run(path, overrides=changes, out=tmp_path, device="cpu", quiet=True, plots=False)
    assert result.metrics["test"]["accuracy"] > 0.85


def test_wider_layers_follow_a_curve_better(tmp_path: Path) -> None:
    grid = {"model.activation": ["relu", "tanh"], "model.hidden": [1, 16]}
    name = "04_fully_connected/universal_approximation"
    result = sweep(name, tmp_path, sweep={"grid": grid}, train__steps=10)
    errors = measured(result, "val.rmse")
    assert all(errors[activation, "16"] < 0.7 * errors[activation, "1"] for activation in ("relu", "tanh"))
    assert "fits.png" in {path.name for path in (result.folder / "plots").iterdir()}
    pieces = np.load(result.folder / result.points[-1].folder / "predictions.npz")["curve_pieces"]
    assert pieces.shape == (400, 17)


def test_without_batch_norm_few_scales_of_the_first_weights_train(tmp_path: Path) -> None:
    grid = {"model.batch_norm": [False, True], "model.init.std": [1e-4, 0.2]}
    name = "05_backpropagation/initial_scales"
    result = sweep(name, tmp_path, data=DATA, sweep={"grid": grid}, train__epochs=8)
    accuracy = measured(result, "val.accuracy")
    assert accuracy["False", "0.0001"] < 0.5 < 0.8 < accuracy["False", "0.2"]
    assert accuracy["True", "0.0001"] > 0.6 and accuracy["True", "0.2"] > 0.8
    assert {"heat_map.png", "layers_at_start.png"} <= {path.name for path in (result.folder / "plots").iterdir()}


def test_sigmoids_lose_the_gradient_with_depth_and_relus_keep_it(tmp_path: Path) -> None:
    grid = {"model.activation": ["sigmoid", "relu"], "model.hidden": [[50] * 3, [50] * 10]}
    name = "05_backpropagation/gradients_by_depth"
    result = sweep(name, tmp_path, data=DATA, sweep={"grid": grid}, train__epochs=1)
    shares = {}
    for point in result.points:
        lines = (result.folder / point.folder / "metrics.jsonl").read_text().splitlines()
        look = next(line for line in map(json.loads, lines) if line["event"] == "watch")
        gradients = [facts["gradient"] for facts in look["layers"].values() if facts["kind"] == "Linear"]
        shares[point.overrides["model.activation"], len(gradients)] = gradients[0] / gradients[-1]
    assert shares["sigmoid", 11] < 1e-3 < 0.1 < shares["relu", 11]
    assert shares["sigmoid", 11] < 0.05 * shares["sigmoid", 4]
    assert "layers_at_start.png" in {path.name for path in (result.folder / "plots").iterdir()}
