"""Test-time augmentation: at a run's end, in ``evaluate`` and ``predict``, and of an ensemble."""

from typing import Any

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import backend, cli, models
from dlcourse.autograd import Tensor
from dlcourse.errors import ConfigError, UserError
from dlcourse.experiment.trained import evaluate_run
from dlcourse.experiment.views import view
from dlcourse.sweeps import run_sweep

CONFIG: dict[str, Any] = {
    "name": "views",
    "data": {
        "name": "synthetic_images",
        "samples": 90,
        "image_size": 8,
        "classes": 3,
        "normalize": "standardize",
        "split": {"val": 0.2, "test": 0.2},
    },
    "model": {"name": "cnn", "channels": [4], "hidden": [8]},
    "loss": {"name": "cross_entropy"},
    "optimizer": {"name": "adam", "lr": 0.02},
    "train": {"batch_size": 30, "epochs": 2},
    "metrics": ["accuracy", "cross_entropy"],
}


def by_hand(model: models.Model, x: np.ndarray, kind: str) -> np.ndarray:
    def pair(images: np.ndarray) -> np.ndarray:
        return (model(dl.tensor(images)).numpy() + model(dl.tensor(images[:, :, ::-1].copy())).numpy()) / 2

    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    if kind == "flip":
        return pair(x)
    return pair(x) / 2 + pair(padded[:, :-2, :-2].copy()) / 4 + pair(padded[:, 2:, 2:].copy()) / 4


@pytest.mark.parametrize("kind", ["flip", "flip_shift"])
def test_outputs_are_means_over_views(kind: str, device: str) -> None:
    from dlcourse.experiment.views import over_views

    model = models.CNN((5, 6, 3), 4, channels=[3], hidden=[]).eval()
    x = np.random.default_rng(0).normal(size=(7, 5, 6, 3)).astype("float32")
    found = over_views(model, kind)(Tensor(backend.current().asarray(x))).numpy()
    np.testing.assert_allclose(found, by_hand(model, x, kind), rtol=1e-5, atol=1e-6)
    moved = backend.to_host(view(backend.current().asarray(x), False, 1))
    np.testing.assert_array_equal(moved[:, 1:, 1:], x[:, :-1, :-1])
    np.testing.assert_array_equal(moved[:, 0, 1:], x[:, 1, :-1])


def test_a_run_measures_with_views_at_its_end_and_so_does_evaluate(tmp_path) -> None:
    plain = dl.run(CONFIG, out=tmp_path / "plain", quiet=True, plots=False, device="cpu")
    varied = dl.run(
        CONFIG, out=tmp_path / "tta", quiet=True, plots=False, device="cpu", overrides={"train.tta": "flip_shift"}
    )
    for ours, theirs in zip(plain.model.parameters(), varied.model.parameters(), strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    assert plain.metrics["test"]["cross_entropy"] != varied.metrics["test"]["cross_entropy"]
    run, other = dl.load_run(plain.folder), dl.load_run(varied.folder)
    assert evaluate_run(run.with_tta("flip_shift")) == evaluate_run(other) == varied.metrics
    assert evaluate_run(other.with_tta("none")) == evaluate_run(run) == plain.metrics
    x = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3)).astype("uint8")
    np.testing.assert_array_equal(run.with_tta("flip_shift").predict(x), other.predict(x))
    assert (run.predict(x) != other.predict(x)).any()
    np.testing.assert_array_equal(other.history["val.accuracy"][-1], run.history["val.accuracy"][-1])  # in training


def test_an_ensemble_asks_each_member_with_views(tmp_path) -> None:
    folder = run_sweep({**CONFIG, "ensemble": 2}, out=tmp_path, quiet=True, plots=False).folder
    run = dl.load_run(folder)
    x = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3)).astype("uint8")
    each = [member.with_tta("flip").predict(x) for member in run.members]
    shares = np.mean([np.exp(z) / np.exp(z).sum(1, keepdims=True) for z in each], axis=0)
    np.testing.assert_allclose(np.exp(run.with_tta("flip").predict(x)), shares, rtol=1e-4)


def test_the_commands_take_it(tmp_path, capsys) -> None:
    folder = dl.run(CONFIG, out=tmp_path, quiet=True, plots=False, device="cpu").folder
    shown = {}
    for given in ([], ["--tta"], ["--tta", "flip"], ["--tta", "none"]):
        assert cli.main(["evaluate", str(folder), *given]) == 0
        shown[" ".join(given)] = capsys.readouterr().out
    assert len(set(shown.values())) == 3 and shown[""] == shown["--tta none"]
    assert cli.main(["evaluate", str(folder), "--tta=both"]) == 2
    assert "--tta: invalid choice: 'both'" in capsys.readouterr().err


def test_without_a_value_the_option_leaves_the_next_word_alone(tmp_path, capsys) -> None:
    folder = dl.run(CONFIG, out=tmp_path, quiet=True, plots=False, device="cpu").folder
    images = str(tmp_path / "images.npz")
    np.savez(images, x=np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype("uint8"))
    asked = {
        "default": (
            ["--tta=flip_shift", str(folder), images],
            [str(folder), "--tta", images],
            [str(folder), images, "--tta"],
        ),
        "named": (["--tta=flip", str(folder), images], [str(folder), "--tta", "flip", images]),
        "none": ([str(folder), images], ["--tta", "none", str(folder), images]),
    }
    shown = []
    for spellings in asked.values():
        found = set()
        for words in spellings:
            assert cli.main(["predict", "--out", "-", *words]) == 0
            found.add(capsys.readouterr().out)
        assert len(found) == 1
        shown += found
    assert len(set(shown)) == 3
    assert cli.main(["predict", str(folder), "--tta", "both"]) == 2 and "both" in capsys.readouterr().err


def test_what_is_no_image_is_refused(tmp_path) -> None:
    spirals = {**CONFIG, "data": {"name": "spirals"}, "model": {"name": "mlp", "hidden": [4]}}
    with pytest.raises(ConfigError, match="train.tta: flip needs images"):
        dl.run({**spirals, "train": {"tta": "flip"}}, out=tmp_path, quiet=True, device="cpu")
    run = dl.load_run(dl.run(spirals, out=tmp_path, quiet=True, plots=False, device="cpu").folder)
    with pytest.raises(UserError, match="flip_shift needs images"):
        run.with_tta("flip_shift")
