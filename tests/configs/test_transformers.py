"""Configs of lecture 14 in a reduced setting: transformers of images and of texts."""

from pathlib import Path

from tests.configs.reduced import run

IMAGES = {"name": "synthetic_images", "samples": 500, "classes": 6, "image_size": 16, "split": {"val": 100}}


def test_a_vision_transformer_learns(tmp_path: Path) -> None:
    small = {"model__width": 24, "model__feedforward": 48, "model__layers": 1, "train__batch_size": 25}
    changes = {"data": {**IMAGES, "normalize": "standardize"}, "optimizer__schedule__warmup": 10, "train__epochs": 6}
    found = run("13_transformers/cifar10_vit", tmp_path, **changes, **small, train__evaluate=["val"])
    assert found.metrics["val"]["accuracy"] > 0.8, found.metrics
