from pathlib import Path

import numpy as np
import pytest

from dlcourse import backend
from dlcourse.cli import main
from dlcourse.config import from_mapping
from dlcourse.experiment.gradients import check_gradients
from dlcourse.ops.activation import Tanh

from .samples import LINE, NET, changed, write

CASES = {
    "net with dropout": NET,
    "smooth net": changed(NET, model={"activation": "tanh", "dropout": 0.0}),
    "closed form with a loss": LINE,
    "polynomial": changed(LINE, model={"name": "polynomial", "degree": 9}),
    "probabilistic": {
        **LINE, "model": "gaussian_regression", "optimizer": "closed_form", "loss": "gaussian_nll", "metrics": []
    },
    "gaussian classes": {
        **LINE,
        "data": {"name": "gaussian_classes"},
        "model": "gaussian_classifier",
        "optimizer": "closed_form",
        "loss": "cross_entropy",
        "metrics": ["accuracy"],
    },
    "pictures": {
        **changed(NET, data={}, optimizer={"schedule": None}),
        "data": {"name": "synthetic_images", "samples": 40, "classes": 3, "image_size": 8},
        "model": "softmax",
    },
}
CASES["polynomial"]["model"] = {"name": "polynomial", "degree": 9}


@pytest.mark.parametrize("name", CASES)
def test_gradients_of_the_courses_models_agree(name: str) -> None:
    checks = check_gradients(from_mapping(CASES[name]), backend.get("cpu"))
    assert checks and all(check.entries for check in checks)
    assert max(check.error for check in checks) < 1e-5


@pytest.mark.parametrize("fault", [1.001, -1.0, 0.0])
def test_a_wrong_gradient_is_found_and_named(tmp_path: Path, monkeypatch, capsys, fault: float) -> None:
    right = Tanh.backward
    monkeypatch.setattr(Tanh, "backward", lambda self, dout: right(self, dout) * fault)
    assert main(["check", str(write(tmp_path, changed(NET, model={"activation": "tanh"})))]) == 1
    out = capsys.readouterr().out
    assert "gradients are wrong: mlp with cross_entropy" in out
    assert "layers.4.weight[" in out and ": numeric " in out and ", analytic " in out


def test_right_gradients_end_with_0(tmp_path: Path, capsys) -> None:
    assert main(["check", str(write(tmp_path, NET)), "model.dropout=0"]) == 0
    out = capsys.readouterr().out
    assert "all gradients agree: mlp with cross_entropy" in out and "max relative error" in out


def test_what_has_no_gradient_says_so(tmp_path: Path, capsys) -> None:
    config = {key: value for key, value in LINE.items() if key != "loss"}
    assert main(["check", str(write(tmp_path, config))]) == 0
    assert "solved in closed form and the config names no loss" in capsys.readouterr().out
    estimators = {
        **LINE,
        "data": {"name": "gaussian_samples"},
        "model": "gaussian_estimators",
        "optimizer": "closed_form",
        "loss": "gaussian_nll",
        "metrics": [],
    }
    assert main(["check", str(write(tmp_path, estimators))]) == 0
    assert "no parameters that gradient descent could train" in capsys.readouterr().out


def test_it_looks_at_float64_whatever_the_config_says() -> None:
    checks = check_gradients(from_mapping({**LINE, "precision": "float32"}), backend.get("cpu"), samples=4, entries=2)
    assert all(np.isfinite(check.error) and check.error < 1e-6 for check in checks)
