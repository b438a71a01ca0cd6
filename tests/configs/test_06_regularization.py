"""Lecture 6's configs in a reduced setting: what each regularization does to weights, gaps and losses."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlcourse.records.run import NEAR_ZERO, WEIGHT_SIZES
from dlcourse.sweeps import SweepResult
from tests.configs.reduced import images, measured, pictures, run, sections, sweep

OVERFIT = images(100, noise=100.0)
"""Few images under much noise."""


def share_near_zero(result: SweepResult) -> dict[Any, float]:
    place = int(np.argmin(np.abs(np.array(WEIGHT_SIZES) - NEAR_ZERO)))
    folders = {next(iter(point.overrides.values())): result.folder / point.folder for point in result.points}
    return {value: np.load(each / "predictions.npz")["weights_below"][place] for value, each in folders.items()}


def test_an_l1_penalty_makes_weights_sparse_and_an_l2_penalty_small(tmp_path: Path) -> None:
    few = {"data": images(100), "train__steps": 300, "train__batch_size": 50}
    found = {}
    for name, penalty in ("mnist_l1", 0.01), ("mnist_l2", 0.1):
        grid = {f"train.{name.removeprefix('mnist_')}": [0, penalty]}
        result = sweep(f"06_regularization/{name}", tmp_path, sweep={"grid": grid}, **few)
        assert {"error_curve", "sparsity", "weights"} <= pictures(result.folder)
        found[name] = share_near_zero(result)
        sizes = [np.load(result.folder / p.folder / "predictions.npz")["template_scales"].mean() for p in result.points]
        assert sizes[1] < 0.8 * sizes[0]
    assert found["mnist_l1"][0.01] > 0.4 > 0.1 > found["mnist_l2"][0.1]


def test_dropout_shrinks_the_gap(tmp_path: Path) -> None:
    changes = {"sweep": {"grid": {"model.dropout": [0.0, 0.9]}}, "train__epochs": 10, "train__batch_size": 20}
    result = sweep("06_regularization/cifar10_dropout", tmp_path, data=OVERFIT, **changes)
    train, val, loss = (measured(result, key) for key in ("train.accuracy", "val.accuracy", "val.cross_entropy"))
    assert train[0.0] > 0.95
    assert train[0.9] - val[0.9] < train[0.0] - val[0.0] - 0.1
    assert loss[0.9] < loss[0.0]
    assert {"error_curve", "curves"} <= pictures(result.folder)


def test_early_stopping_keeps_the_weights_before_the_loss_turns(tmp_path: Path) -> None:
    name, changes = "06_regularization/cifar10_early_stopping", {"data": OVERFIT, "train__batch_size": 20}
    stopped = run(name, tmp_path, **changes)
    through = run(name, tmp_path, **changes, train__early_stopping=None)
    assert len(stopped.history["val.cross_entropy"]) < len(through.history["val.cross_entropy"]) == 30
    assert stopped.metrics["val"]["cross_entropy"] == min(stopped.history["val.cross_entropy"])
    assert stopped.metrics["val"]["cross_entropy"] < through.metrics["val"]["cross_entropy"]
    assert stopped.metrics["train"]["cross_entropy"] > through.metrics["train"]["cross_entropy"]


@pytest.mark.parametrize("bagging", [False, True])
def test_an_ensemble_is_better_than_its_members_are_on_average(bagging: bool, tmp_path: Path) -> None:
    changes = {"data": images(200, noise=60.0), "train__steps": 60, "train__batch_size": 20, "train__evaluate": ["val"]}
    result = sweep("06_regularization/cifar10_ensemble", tmp_path, ensemble={"size": 5, "bagging": bagging}, **changes)
    (together,) = result.ensembles
    alone = [point.metrics for point in result.points]
    assert len(alone) == 5
    assert together["metrics"]["val.accuracy"] > np.mean([each["val.accuracy"] for each in alone]) + 0.01
    assert together["metrics"]["val.cross_entropy"] < np.mean([each["val.cross_entropy"] for each in alone])
    assert "ensemble" in pictures(result.folder)


def test_label_smoothing_keeps_a_net_from_being_surer_than_it_is_right(tmp_path: Path) -> None:
    changes = {"sweep": {"grid": {"loss.label_smoothing": [0.0, 0.4]}}, "train__epochs": 40, "train__batch_size": 20}
    result = sweep("06_regularization/cifar10_label_smoothing", tmp_path, data=OVERFIT, **changes)
    losses = measured(result, "val.cross_entropy")
    assert losses[0.4] < 0.9 * losses[0.0]


def test_augmentation_makes_few_images_last_longer(tmp_path: Path) -> None:
    changes = {"train__epochs": 12, "train__batch_size": 20, "model__channels": [8, 8]}
    data = OVERFIT | {"image_size": 16}
    result = sweep("06_regularization/cifar10_augmentation", tmp_path, data=data, **changes)
    gaps = [point.metrics["train.accuracy"] - point.metrics["val.accuracy"] for point in result.points]
    assert [point.overrides["name"] for point in result.points] == ["none", "flip", "flip-crop", "flip-crop-cutout"]
    assert max(gaps[1:]) < gaps[0]
    assert "categories" in pictures(result.folder)


def test_batch_norm_fails_at_two_samples_and_layer_norm_does_not(tmp_path: Path) -> None:
    name = "06_regularization/cifar10_norm_batch_size"
    given = {**sections(name)["sweep"], "grid": {"train.batch_size": [2, 50]}}
    result = sweep(name, tmp_path, data=images(300), sweep=given, train__epochs=3)
    found = {(p.overrides["name"], p.overrides["train.batch_size"]): p.metrics["val.accuracy"] for p in result.points}
    assert found["batch-norm", 2] < found["layer-norm", 2] - 0.1
    assert found["batch-norm", 2] < found["batch-norm", 50] - 0.1
    assert "heat_map" in pictures(result.folder)


def test_each_regularization_closes_the_gap_or_lowers_the_loss(tmp_path: Path) -> None:
    result = sweep("06_regularization/cifar10_gains", tmp_path, data=OVERFIT, train__batch_size=20)
    found = {point.overrides["name"]: point.metrics for point in result.points}
    assert len(found) == 9
    plain, together = found.pop("none"), found["together"]
    gap = plain["train.accuracy"] - plain["val.accuracy"]
    for name, each in found.items():
        closer = each["train.accuracy"] - each["val.accuracy"] < gap
        assert closer or each["val.cross_entropy"] < plain["val.cross_entropy"], name
    assert together["train.accuracy"] - together["val.accuracy"] < gap - 0.1
    assert together["val.cross_entropy"] < plain["val.cross_entropy"]
    assert "categories" in pictures(result.folder)
