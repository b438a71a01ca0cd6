"""Configs of lectures 8 to 10 in a reduced setting: nets learn, are drawn over their costs, and pass features on."""

from pathlib import Path

import numpy as np
import pytest

from tests.configs.reduced import pictures, run, sections, sweep

IMAGES = {"name": "synthetic_images", "samples": 500, "classes": 6, "image_size": 16, "split": {"val": 100}}
IMAGES |= {"normalize": "minmax"}


@pytest.mark.parametrize(("name", "enough"), [("mnist_lenet", 0.35), ("cifar10_deeper", 0.8), ("cifar10_cnn", 0.8)])
def test_nets_learn(name: str, enough: float, tmp_path: Path) -> None:
    changes = {"train__epochs": 6, "train__batch_size": 25, "train__evaluate": ["val"]}
    assert run(f"08_cnn/{name}", tmp_path, data=IMAGES, **changes).metrics["val"]["accuracy"] > enough


def test_nets_are_drawn_over_their_costs(tmp_path: Path) -> None:
    models = sections("08_cnn/cifar10_nets")["sweep"]["grid"]["model"]
    few = [model for model in models if model["name"] in ("lenet", "resnet")]
    result = sweep("08_cnn/cifar10_nets", tmp_path, data=IMAGES, sweep={"grid": {"model": few}}, train__epochs=1)
    costs = [(point.parameters or 0, point.flops or 0) for point in result.points]
    assert costs == sorted(costs) and len(set(costs)) == 3 and costs[0] == (62_006 - 85 * 4, 1_303_440 - 2 * 84 * 4)
    assert {"costs", "categories"} <= pictures(result.folder)


def test_transferred_features_help_a_net_that_sees_few_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The two commands of the header: the second finds the run of the first, which knew other classes."""
    monkeypatch.chdir(tmp_path)
    classes = [f"class {index}" for index in range(6)]
    images = {**IMAGES, "split": {}, "only_classes": classes[:3], "samples": 600}
    run(
        "08_cnn/cifar10_five_classes",
        Path("runs"),
        data=images,
        train__epochs=4,
        train__batch_size=20,
        train__evaluate=[],
    )
    few = {**images, "only_classes": classes[3:], "split": {"train": 6, "test": 150}, "stratify": True}
    settings = {**sections("08_cnn/cifar10_transfer")["sweep"], "grid": {"data.split.train": [6, 12]}}
    changes = {"data": few, "train__steps": 40, "train__batch_size": 6, "sweep": settings}
    result = sweep("08_cnn/cifar10_transfer", Path("runs"), **changes)
    accuracy = np.array([point.metrics["test.accuracy"] for point in result.points]).reshape(2, 3)
    # Frozen features know nothing here: the patterns of made-up classes have nothing in common.
    assert (accuracy[:, 2] > accuracy[:, 0] + 0.05).all(), accuracy
    assert "learning_curve" in pictures(result.folder)
    log = (result.folder / str(result.points[1].folder) / "log.txt").read_text()
    assert "frozen: " in log and "  new: linear.weight (3, 64), linear.bias (3,)" in log
