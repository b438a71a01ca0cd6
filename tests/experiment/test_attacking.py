"""A net trained against an attack, and trained nets under attack."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlcourse as dl
from dlcourse.cli import main
from dlcourse.errors import ConfigError

DATA = {
    "name": "synthetic_images",
    "samples": 600,
    "classes": 4,
    "image_size": 8,
    "channels": 1,
    "noise": 10,
    "shift": 1,
}
DATA |= {"negatives": 0.0, "split": {"val": 0.2, "test": 0.2}, "normalize": "standardize"}
PGD = {"name": "pgd", "epsilon": 0.06, "steps": 3}


def config(attack: dict | None = None, **more: Any) -> dict:
    return {
        "name": "attacked",
        "device": "cpu",
        "data": DATA,
        "model": {"name": "mlp", "hidden": [32]},
        "loss": "cross_entropy",
        "optimizer": {"name": "adam", "lr": 5e-3},
        "metrics": ["accuracy"],
        "train": {"steps": 120, "batch_size": 50, "attack": attack},
    } | more


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("attacked")
    return [dl.run(config(each), out=folder, quiet=True, plots=False).folder for each in (None, PGD)]


def test_training_against_an_attack_keeps_more_under_it(runs: list[Path], capsys: pytest.CaptureFixture) -> None:
    kept = []
    for run in runs:
        assert main(["attack", str(run), "--attack", "pgd", "--epsilon", "0.03,0.06", "steps=10"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[1].split() == ["epsilon", "accuracy", "random", "perturbation"]
        kept.append([float(each) for each in lines[3].split()])
        with np.load(run / "attack-pgd.npz") as arrays:
            assert arrays["accuracy"][1] == pytest.approx(kept[-1][1], abs=1e-4)
            assert arrays["attack_originals"].shape == arrays["attack_changed"].shape == (10, 8, 8, 1)
            moved = np.abs(arrays["attack_changed"] - arrays["attack_originals"]).max()
            assert moved == pytest.approx(0.06 * 255, rel=0.01)
    (_, plain, control), (_, robust, _) = kept
    assert plain + 0.1 < robust and plain + 0.2 < control
    assert {path.stem for path in (runs[0] / "plots").glob("attack*.png")} == {"attack_accuracy", "attacked_images"}


def test_the_smallest_perturbations_and_transfer(runs: list[Path], capsys: pytest.CaptureFixture) -> None:
    assert main(["attack", str(runs[0]), "--attack", "deepfool", "--count", "30"]) == 0
    assert "changed their class; length of the perturbation: mean" in capsys.readouterr().out
    assert main(["attack", str(runs[0]), "--epsilon", "0.1", "--source", str(runs[1])]) == 0
    assert "fgsm on 120 inputs of the test split" in capsys.readouterr().out


def test_a_run_that_goes_on_is_the_same_run(tmp_path: Path) -> None:
    short = {"train": {"steps": 10, "batch_size": 50, "attack": PGD}}
    whole = dl.run(config() | short, out=tmp_path, quiet=True, plots=False)
    half = dl.run(config() | short, overrides={"train.steps": 4}, out=tmp_path, quiet=True, plots=False)
    rest = dl.run(resume=half.folder, overrides={"train.steps": 10}, quiet=True, plots=False)
    assert rest.metrics == whole.metrics


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": {"attack": "deepfool"}}, "train.attack.name: deepfool looks for the smallest change"),
        ({"train": {"attack": {"name": "pgd"}}}, "train.attack.epsilon: required, but missing"),
        (
            {"train": {"attack": {"name": "pgd", "epsilon": -1}}},
            "train.attack.epsilon: expected a number of at least 0",
        ),
        (
            {"data": {"name": "sine_curve"}, "model": "linear", "loss": "mse", "metrics": []},
            "there are no classes here",
        ),
    ],
)
def test_what_cannot_be_trained_against(change: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        dl.run(config(PGD) | change, out=tmp_path, quiet=True, plots=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--attack", "pdg"], "did you mean 'pgd'"),
        (["stepz=3", "--attack", "pgd"], "has no parameter 'stepz'"),
        (["--attack", "deepfool", "--epsilon", "0.1"], "has no epsilon"),
        (["--epsilon", "a"], "numbers separated by commas"),
        (["--count", "0"], "count is at least 1"),
        (["epsilon=1"], "give the sizes by --epsilon"),
    ],
)
def test_wrong_arguments(runs: list[Path], arguments: list[str], message: str, capsys: pytest.CaptureFixture) -> None:
    assert main(["attack", str(runs[0]), *arguments]) == 2
    assert message in capsys.readouterr().err
