"""``dlcourse sample RUN --judge CLASSIFIER``: which classes samples are of, whatever both runs do with their inputs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlcourse as dl
from dlcourse.cli import main
from dlcourse.experiment.sample_judge import judge_samples

IMAGES = {"name": "synthetic_images", "samples": 300, "image_size": 8, "channels": 1, "classes": 4, "noise": 10}
IMAGES |= {"shift": 0, "split": {"test": 50}}
VAE = {"model": {"name": "vae", "latent": 4, "hidden": [32]}, "data": IMAGES | {"normalize": "minmax"}}
JUDGE = {"model": {"name": "softmax"}, "loss": "cross_entropy", "data": IMAGES | {"normalize": "per_pixel"}}


def trained(folder: Path, name: str, steps: int, settings: dict, **data: Any) -> Path:
    common = {"name": name, "optimizer": {"name": "adam", "lr": 0.01}, "train": {"steps": steps, "batch_size": 50}}
    config = common | settings | {"data": settings["data"] | data}
    return dl.run(config, out=folder, quiet=True, plots=False, device="cpu").folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("runs")
    return trained(folder, "draws", 100, VAE), trained(folder, "judge", 60, JUDGE)


def test_the_shares_and_the_confidence(runs: tuple[Path, Path], capsys: pytest.CaptureFixture) -> None:
    """Held against the samples brought from 0..1 to 0..255, and from there to mean 0, by hand."""
    draws, judge = runs
    assert main(["sample", str(draws), "--judge", str(judge), "--count", "200", "--seed", "3"]) == 0
    said = capsys.readouterr().out
    model, told = dl.load_run(draws).model, dl.load_run(judge)
    raw = 255 * model.generate(200, 3).numpy().astype(np.float64)
    x = (raw - told.normalizer.shift) / told.normalizer.scale
    logits = told.model(dl.tensor(x.astype("float32"))).numpy().astype(np.float64)
    odds = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    shares = np.bincount(odds.argmax(axis=1), minlength=4) / 200
    (found,) = json.loads((draws / "judged.json").read_text())["judged"]
    assert found["shares"] == pytest.approx(shares.tolist(), abs=0.006)
    assert found["confidence"] == pytest.approx(odds.max(axis=1).mean(), abs=1e-3)
    assert found["classes"] == told.inputs.class_names and found["count"] == 200 and found["seed"] == 3
    assert f"mean confidence {found['confidence']:.4f}, least share {min(found['shares']):.3f}" in said
    assert found["confidence"] > 0.3 and sum(found["shares"]) == pytest.approx(1)
    assert (draws / "plots" / "judged_samples.png").is_file()
    for count, seed in ((200, 3), (20, 0)):
        judge_samples(dl.load_run(draws), told, count, seed)
    assert [each["count"] for each in json.loads((draws / "judged.json").read_text())["judged"]] == [200, 20]


def test_what_cannot_judge(runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    draws, judge = runs
    large = trained(tmp_path, "large", 1, JUDGE, image_size=12)
    x = np.random.default_rng(0).uniform(size=(40, 8, 8, 1)).astype("float32")
    np.savez(tmp_path / "small.npz", x=x, y=np.arange(40) % 4)
    small = {"name": "arrays", "path": str(tmp_path / "small.npz"), "task": "classification"}
    units = trained(tmp_path, "units", 1, {**JUDGE, "data": small})
    for of, by, more, message in (
        (draws, large, [], r"takes inputs of shape (12, 12, 1), the samples of"),
        (draws, units, [], "the data are in other units; take a classifier of the same data"),
        (draws, draws, [], "predicts no targets"),
        (judge, judge, [], "generates nothing"),
        (draws, tmp_path / "none", [], "no such run folder"),
        (draws, judge, ["--out", "a.png"], "take one of both"),
        (draws, judge, ["--steps", "5,6"], "steps: the samples of the model vae have no such setting; there are: none"),
        (draws, judge, ["--count", "0"], "count is at least 1"),
    ):
        assert main(["sample", str(of), "--judge", str(by), *more]) == 2
        assert message in capsys.readouterr().err
