"""Configs of lecture 14 in a reduced setting: transformers of images and of texts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.configs.reduced import pictures, run, sections, sweep

IMAGES = {"name": "synthetic_images", "samples": 500, "classes": 6, "image_size": 16, "split": {"val": 100}}
WORDS = ["counsel", "softly", "uncle", "gentle", "winter", "merchant", "morning", "trouble", "sister", "soldier"]


def test_a_vision_transformer_learns(tmp_path: Path) -> None:
    small = {"model__width": 24, "model__feedforward": 48, "model__layers": 1, "train__batch_size": 25}
    changes = {"data": {**IMAGES, "normalize": "standardize"}, "optimizer__schedule__warmup": 10, "train__epochs": 6}
    found = run("13_transformers/cifar10_vit", tmp_path, **changes, **small, train__evaluate=["val"])
    assert found.metrics["val"]["accuracy"] > 0.8, found.metrics


@pytest.fixture
def small(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "text.txt").write_text(" ".join(np.random.default_rng(0).choice(WORDS, 2000)))
    more = {"data__path": str(tmp_path / "text.txt"), "model__layers": 1, "model__width": 32, "model__heads": 2}
    return {**more, "data__context": 16, "optimizer__lr": 5e-3, "optimizer__schedule__warmup": 5}


def test_tokens_of_several_characters_cost_what_their_characters_do(tmp_path: Path, small: dict[str, Any]) -> None:
    """A word of ten, of about seven letters and a space, is 0.29 nats a character."""
    changes = {"data__vocab_size": 290, "train__steps": 80, "train__batch_size": 32}
    found = run("13_transformers/shakespeare_bpe", tmp_path, **small, **changes).metrics["val"]
    assert 0.27 < found["nats_per_character"] < 0.5 and found["cross_entropy"] > 2 * found["nats_per_character"]


def test_labels_after_reading_and_without(
    tmp_path: Path, small: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The two commands of the header: the second finds the run of the first, which has the same tokens."""
    monkeypatch.chdir(tmp_path)
    run("13_transformers/shakespeare_masked", Path("runs"), **small, train__steps=100)
    settings = {**sections("13_transformers/shakespeare_typos")["sweep"], "grid": {"data.limit.train": [20, 40]}}
    result = sweep("13_transformers/shakespeare_typos", Path("runs"), **small, train__steps=20, sweep=settings)
    assert len(result.points) == 6 and "learning_curve" in pictures(result.folder)
    log = (result.folder / str(result.points[1].folder) / "log.txt").read_text()
    assert "new: head.weight" in log and "other tokens" not in log
