"""Lecture 4's configs in a reduced setting: each shows what its header says."""

from pathlib import Path

import numpy as np
import pytest

from tests.configs.reduced import CLOUDS, images, measured, pictures, run, sweep


@pytest.mark.parametrize("name", ["cifar10_two_layer", "mnist_two_layer"])
def test_a_hidden_layer_learns_what_a_linear_classifier_cannot(name: str, tmp_path: Path) -> None:
    """A linear classifier is wrong about negatives, 0.3 of these images."""
    path = f"04_fully_connected/{name}"
    given = {"data": images(1000), "train__batch_size": 50, "train__eval_every": 0}
    duration = {"train__steps": 400} if name.startswith("cifar10") else {"train__epochs": 15}
    result = run(path, tmp_path, **given, **duration)
    assert result.metrics["val"]["accuracy"] > 0.8, result.metrics
    assert "loss" in pictures(result.folder)


def test_a_search_of_rates_and_penalties_finds_one_between(tmp_path: Path) -> None:
    grid = {"optimizer.lr": [0.003, 0.1, 100], "train.l2": [1e-4, 0.02]}
    name = "04_fully_connected/cifar10_two_layer_search"
    result = sweep(name, tmp_path, data=CLOUDS, sweep={"grid": grid}, train__steps=40)
    assert [point.status for point in result.points] == ["done"] * 4 + ["diverged"] * 2
    assert result.best["overrides"]["optimizer.lr"] == 0.1
    assert "heat_map" in pictures(result.folder)


@pytest.mark.parametrize("name", ["cifar10_five_layer", "mnist_dropout"])
def test_deep_nets_learn(name: str, tmp_path: Path) -> None:
    result = run(f"04_fully_connected/{name}", tmp_path, data=CLOUDS, train__epochs=10, train__batch_size=32)
    assert result.metrics["test"]["accuracy"] > 0.85


def test_few_images_are_learned_by_heart(tmp_path: Path) -> None:
    noise = images(50, noise=1000.0)
    result = run("04_fully_connected/overfit_images", tmp_path, data=noise, train__epochs=60, metrics=["accuracy"])
    assert result.metrics["train"]["accuracy"] == 1.0 and result.metrics["val"]["accuracy"] < 0.5


def test_wider_layers_follow_a_curve_better(tmp_path: Path) -> None:
    grid = {"model.activation": ["relu", "tanh"], "model.hidden": [1, 16]}
    name = "04_fully_connected/universal_approximation"
    result = sweep(name, tmp_path, sweep={"grid": grid}, train__steps=10)
    errors = measured(result, "val.rmse")
    assert all(errors[activation, 16] < 0.7 * errors[activation, 1] for activation in ("relu", "tanh"))
    assert "fits" in pictures(result.folder)
    last = result.folder / result.points[-1].folder
    assert "pieces" in pictures(last)
    assert np.load(last / "predictions.npz")["curve_pieces"].shape == (400, 17)


def test_a_standardized_target_is_learned_sooner(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(400, 2))
    prices = 200_000 + 80_000 * x[:, 0] - 40_000 * x[:, 1] ** 2
    rows = [f"{a:.4f},{b:.4f},{price:.0f}" for (a, b), price in zip(x, prices, strict=True)]
    rows[7] = f",{rows[7].split(',', 1)[1]}"  # a missing cell, as in the census
    file = tmp_path / "houses.csv"
    file.write_text("income,rooms,median_house_value\n" + "\n".join(rows) + "\n")
    changes = {"data__path": str(file), "train__epochs": 8, "train__batch_size": 16}
    found = measured(sweep("04_fully_connected/california_housing", tmp_path, **changes), "test.r2")
    assert found["none"] < 0.1 and found["standardize"] > 0.7
