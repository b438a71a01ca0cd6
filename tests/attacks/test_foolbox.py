"""The attacks against those of Foolbox, on the same weights: the script that a reader runs, on a small net."""

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlcourse as dl
from dlcourse.resources import configs_folder

SCRIPT = configs_folder() / "15_adversarial" / "against_foolbox.py"
DATA = {"name": "synthetic_images", "samples": 500, "classes": 4, "image_size": 8, "channels": 1, "negatives": 0.0}
DATA |= {"noise": 20, "split": {"test": 0.2}, "normalize": "minmax"}
CONFIG = {
    "data": DATA,
    "model": {"name": "cnn", "channels": [4], "hidden": [12], "batch_norm": True},
    "loss": "cross_entropy",
    "optimizer": {"name": "adam", "lr": 0.01},
    "metrics": ["accuracy"],
    "train": {"steps": 60, "batch_size": 50},
}


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    pytest.importorskip("foolbox", reason="foolbox is not installed (pip install foolbox)")
    return runpy.run_path(str(SCRIPT))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dl.run(CONFIG, device="cpu", out=tmp_path_factory.mktemp("foolbox"), quiet=True, plots=False).folder


def test_the_same_weights_are_fooled_by_the_same_changes(script: dict[str, Any], run: Path) -> None:
    test = dl.load_data(run / "config.yaml").test
    x, y = np.asarray(test.inputs[:40], "float32"), np.asarray(test.targets[:40])
    model = dl.load_run(run, "cpu").model
    right = model(dl.tensor(x)).numpy().argmax(axis=1) == y
    rows = {row[0]: row[1:] for row in script["compare"](model, x[right], y[right], script["pairs"](0.06, 0.5, 60))}
    for name in ("FGSM", "FGSM, L2", "PGD, 40 steps", "PGD, L2, 40 steps"):
        here, there, differ = rows[name]
        assert here == pytest.approx(there, abs=0.03) and here < 0.9 and differ < 0.05, (name, rows[name])
    # At the border of the box DeepFool goes on there from what was clipped, here and there from another sum of steps.
    assert rows["DeepFool"][0] == pytest.approx(rows["DeepFool"][1], rel=0.01)
    assert rows["Carlini and Wagner"][0] == pytest.approx(rows["Carlini and Wagner"][1], rel=0.01)
    assert rows["Carlini and Wagner"][0] < 1.05 * rows["DeepFool"][0]


def test_a_linear_classifier_is_taken_over_too(script: dict[str, Any]) -> None:
    x = np.random.default_rng(0).uniform(size=(6, 4, 4, 1)).astype("float32")
    dl.manual_seed(0)
    net = dl.models.SoftmaxModel((4, 4, 1), 3, scale=1.0)
    theirs = script["twin"](net)(script["torch"].from_numpy(x.transpose(0, 3, 1, 2).copy())).detach().numpy()
    np.testing.assert_allclose(net(dl.tensor(x)).numpy(), theirs, atol=1e-5)


def test_the_command_prints_a_table(script: dict[str, Any], run: Path, capsys: pytest.CaptureFixture) -> None:
    script["main"].__globals__["pairs"] = lambda: script["pairs"](0.06, 0.5, 1)[:1]
    script["main"](str(run), "10")
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:2] == ["here", "Foolbox"] and lines[2].startswith("FGSM ")
