from pathlib import Path

import numpy as np
import pytest

from dlcourse import backend, nn, registry
from dlcourse.autograd.elementwise import Tanh
from dlcourse.cli import main
from dlcourse.config import from_mapping
from dlcourse.experiment.gradients import check_gradients
from dlcourse.models.base import Model
from dlcourse.ops.conv import Conv2dReLU
from dlcourse.ops.linear import LinearReLU
from dlcourse.ops.loss import MulticlassHinge
from dlcourse.ops.pool import MaxPool2d
from dlcourse.registry import register

from .samples import LINE, NET, changed, write

CASES = {
    "net with dropout": NET,
    "smooth net": changed(NET, model={"activation": "tanh", "dropout": 0.0}),
    "closed form with a loss": LINE,
    "polynomial": changed(LINE, model={"name": "polynomial", "degree": 9}),
    "probabilistic": {
        **LINE,
        "model": "gaussian_regression",
        "optimizer": "closed_form",
        "loss": "gaussian_nll",
        "metrics": [],
    },
    "gaussian classes": {
        **LINE,
        "data": {"name": "gaussian_classes"},
        "model": "gaussian_classifier",
        "optimizer": "closed_form",
        "loss": "cross_entropy",
        "metrics": ["accuracy"],
    },
    "images": {
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


KINKED = {
    **changed(NET, optimizer={"schedule": None}),
    "data": {"name": "synthetic_images", "samples": 40, "classes": 3, "image_size": 8},
    "model": {"name": "cnn", "channels": [4, 6], "hidden": [10], "kernel_size": 3},
    "loss": "multiclass_hinge",
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("model", [{}, {"batch_norm": True}])
def test_kinks_are_not_called_wrong(model: dict, seed: int) -> None:
    config = from_mapping(changed(KINKED, model=model) | {"seed": seed})
    checks = check_gradients(config, backend.get("cpu"), entries=6)
    assert max(check.error for check in checks) < 1e-5


def _shifted(right: object, self: object, dout: np.ndarray) -> object:
    """To the places beside those that were the largest."""
    self.argmax = (self.argmax + 1) % 4
    return right(self, dout)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        (MaxPool2d, _shifted),
        (MaxPool2d, lambda right, self, dout: right(self, dout) * 1.001),
        (Conv2dReLU, lambda right, self, dout: Conv2dReLU.__mro__[1].backward(self, dout)),
        (LinearReLU, lambda right, self, dout: LinearReLU.__mro__[1].backward(self, dout)),
        (MulticlassHinge, lambda right, self, dout: np.abs(right(self, dout))),
    ],
)
def test_wrong_gradients_of_what_has_kinks_are_found(kind, fault, seed: int, monkeypatch) -> None:
    right = kind.backward
    monkeypatch.setattr(kind, "backward", lambda self, dout: fault(right, self, dout))
    checks = check_gradients(from_mapping(KINKED | {"seed": seed}), backend.get("cpu"), entries=6)
    assert max(check.error for check in checks) > 1e-4


class Scaled(Model):
    """Linear of |s x| with a parameter s that has no axes."""

    def __init__(self, in_shape: tuple[int, ...], out_features: int):
        super().__init__(in_shape, out_features)
        self.flatten, self.scale = nn.Flatten(), nn.Parameter(np.array(1.0, "float32"))
        self.linear = nn.Linear(self.in_features, self.out_features)

    def forward(self, x):
        return self.linear((self.flatten(x) * self.scale).abs())


@pytest.fixture
def registered():
    register("model", "t_scalar")(Scaled)
    yield
    del registry.registered["model"]["t_scalar"]


def test_a_parameter_without_axes_is_checked_and_a_model_may_begin_with_flatten(
    registered, tmp_path: Path, capsys
) -> None:
    path = str(write(tmp_path, KINKED | {"model": "t_scalar"}))
    assert main(["check", path]) == 0
    out = capsys.readouterr().out
    assert "scale" in out and "()" in out
    assert main(["show", path]) == 0
    assert "flatten" in capsys.readouterr().out
