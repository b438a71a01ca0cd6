"""Lecture 15's configs in a reduced setting: nets fall under attack, and training against one keeps what it keeps."""

from pathlib import Path
from typing import Any

import pytest

from tests.configs.reduced import pictures, run, sections

IMAGES = {"name": "synthetic_images", "samples": 700, "classes": 4, "image_size": 8, "channels": 1, "noise": 10}
IMAGES |= {"shift": 1, "negatives": 0.0, "split": {"val": 0.1, "test": 0.3}, "normalize": "minmax"}


def reduced(name: str, share: float = 0.25) -> list[dict[str, Any]]:
    """The attacks of a config with a share of their sizes, on few inputs, in few steps."""
    attacks = [dict(attack) for attack in sections(f"15_adversarial/{name}")["attacks"]]
    for attack in attacks:
        attack |= {"count": min(attack["count"], 60), "sizes": 2, "steps": min(attack.get("steps", 0), 20)}
        attack |= {"epsilon": share * attack["epsilon"]} if "epsilon" in attack else {}
        if not attack["steps"]:
            del attack["steps"]
        if attack.get("step_size"):
            attack["step_size"] *= share
    return attacks


def test_a_linear_classifier_falls(tmp_path: Path) -> None:
    name = "mnist_softmax_attacked"
    result = run(f"15_adversarial/{name}", tmp_path, data=IMAGES, attacks=reduced(name))
    found, clean = result.metrics["test"], result.metrics["test"]["accuracy"]
    under = {label: value for label, value in found.items() if label.startswith("accuracy(")}
    assert len(under) == 6 and found["accuracy(fgsm, epsilon=0.0625)"] < 0.5 * clean
    assert found["accuracy(pgd, steps=20, epsilon=0.0625)"] <= found["accuracy(fgsm, epsilon=0.0625)"] + 0.02
    assert {"attack_accuracy", "attacked_images"} <= pictures(result.folder)


def test_changes_made_for_one_net_fool_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The two commands of the header: the second finds the run of the first."""
    monkeypatch.chdir(tmp_path)
    first, second = "mnist_cnn_attacked", "mnist_transferred_attack"
    images = {"data": IMAGES, "train__epochs": 4, "train__batch_size": 25}
    result = run(f"15_adversarial/{first}", Path("runs"), attacks=reduced(first), **images)
    under = {label: value for label, value in result.metrics["test"].items() if label.startswith("accuracy(")}
    assert len(under) == 6 and min(under.values()) < 0.6 * result.metrics["test"]["accuracy"]
    other = run(f"15_adversarial/{second}", Path("runs"), attacks=reduced(second), **images).metrics["test"]
    own, transferred = (
        other[f"accuracy(fgsm, {how}epsilon=0.075)"] for how in ("", "source=runs/mnist-cnn-attacked, ")
    )
    assert own <= transferred < other["accuracy"]
