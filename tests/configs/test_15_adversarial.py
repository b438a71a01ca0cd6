"""Lecture 15's configs in a reduced setting: nets fall under attack, and training against one keeps what it keeps."""

from pathlib import Path
from typing import Any

import pytest

from tests.configs.reduced import measured, pictures, run, sections, sweep

IMAGES = {"name": "synthetic_images", "samples": 700, "classes": 4, "image_size": 8, "channels": 1, "noise": 10}
IMAGES |= {"shift": 1, "negatives": 0.0, "split": {"val": 0.1, "test": 0.3}, "normalize": "minmax"}


def reduced(name: str, share: float = 0.25) -> list[dict[str, Any]]:
    """The attacks of a config with a share of their sizes, on few inputs, in few steps."""
    attacks = [dict(attack) for attack in sections(f"15_adversarial/{name}")["attacks"]]
    for attack in attacks:
        attack |= {"count": min(attack["count"], 60), "steps": min(attack.get("steps", 0), 20)}
        attack |= {"epsilon": share * attack["epsilon"], "sizes": 2} if "epsilon" in attack else {}
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


def test_training_against_an_attack_keeps_more_under_it(tmp_path: Path) -> None:
    name = "15_adversarial/mnist_adversarial_training"
    points = sections(name)["sweep"]["zip"]
    smaller = [
        each and {key: value / 5 if key in ("epsilon", "step_size") and value else value for key, value in each.items()}
        for each in points["train.attack"]
    ]
    attacks = [dict(each, epsilon=0.06, count=60) for each in reduced("mnist_adversarial_training")]
    settings = {"zip": points | {"train.attack": smaller}}
    changes = {"data": IMAGES, "attacks": attacks, "train__epochs": 8, "train__batch_size": 25, "sweep": settings}
    result = sweep(name, tmp_path, **changes)
    accuracy = [list(measured(result, f"test.accuracy({each})").values()) for each in UNDER]
    for plain, *trained in accuracy:
        assert all(plain + 0.1 < each for each in trained), accuracy
    assert "robustness" in pictures(result.folder)


UNDER = "fgsm, epsilon=0.06", "pgd, steps=20, step_size=0.0025, epsilon=0.06"
