"""Runs on images, from the config to the answer for a new one."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imsave

from dlcourse.cli import main
from dlcourse.data import prepare
from dlcourse.experiment import evaluate_run, load_run, run

from .samples import IMAGES, changed

KNN = {"model": {"name": "knn", "k": 5}, "optimizer": {"name": "closed_form"}, "loss": None, "train": {"epochs": 1}}


def go(config: dict, out: Path, plots: bool = False) -> Path:
    return run(config, out=out, plots=plots, quiet=True).folder


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = changed(IMAGES, model={"name": "softmax"}, train={"epochs": 2})
    del config["model"]["hidden"], config["model"]["dropout"]
    return go(config, tmp_path_factory.mktemp("softmax"), plots=True)


@pytest.fixture(scope="module")
def neighbors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = {**IMAGES, **KNN, "metrics": ["accuracy"]}
    config["data"] = {key: value for key, value in config["data"].items() if key != "augment"}
    return go(config, tmp_path_factory.mktemp("knn"), plots=True)


def drawn(folder: Path) -> set[str]:
    return {path.stem for path in (folder / "plots").glob("*.png")}


def test_a_run_shows_its_templates_and_its_mistakes(classifier: Path) -> None:
    assert {"templates", "mistakes", "confusion"} <= drawn(classifier) and "neighbors" not in drawn(classifier)


def test_a_run_shows_its_nearest_neighbors(neighbors: Path) -> None:
    assert {"neighbors", "confusion"} <= drawn(neighbors) and "templates" not in drawn(neighbors)


@pytest.mark.parametrize(("which", "what"), [("classifier", "probability"), ("neighbors", "share of votes")])
def test_a_png_gets_the_answer_of_its_pixels(which: str, what: str, tmp_path: Path, capsys, request) -> None:
    folder = request.getfixturevalue(which)
    trained = load_run(folder)
    image = prepare(trained.config.data["data"], 5).splits["test"].x[3]
    imsave(tmp_path / "image.png", image)
    assert main(["predict", str(folder), str(tmp_path / "image.png")]) == 0
    found = capsys.readouterr().out
    surest = trained.predict(image[None])[0].argmax()
    assert found.startswith(f"class {surest} ({what} ") and found.count("class ") == 3


def test_a_png_of_another_size_is_refused_in_one_line(classifier: Path, tmp_path: Path, capsys) -> None:
    imsave(tmp_path / "large.png", np.zeros((9, 8, 3), np.uint8))
    assert main(["predict", str(classifier), str(tmp_path / "large.png")]) == 2
    err = capsys.readouterr().err
    assert "large.png: got inputs of shape (9, 8, 3)" in err and "of shape (8, 8, 3)" in err and err.count("\n") == 1


def test_a_finished_run_judges_the_images_of_another_file(classifier: Path, tmp_path: Path, capsys) -> None:
    trained = load_run(classifier)
    test = prepare(trained.config.data["data"], 5).splits["test"]
    expected = evaluate_run(trained, "test")["test"]
    x, some = np.asarray(test.x), test.y < 2
    np.savez(tmp_path / "test.npz", x=x, y=test.y)
    np.savez(tmp_path / "some.npz", x=x[some], y=test.y[some])  # labels 0 and 1 are still those classes
    np.savez(tmp_path / "small.npz", x=x[:, :4, :4], y=test.y)
    file = {"name": "arrays", "path": str(tmp_path / "test.npz")}
    assert evaluate_run(trained, data={"data": file})["all"] == pytest.approx(expected)
    right = trained.predict(x[some]).argmax(axis=1) == test.y[some]
    found = evaluate_run(trained, data={"data": {**file, "path": str(tmp_path / "some.npz")}})
    assert found["all"]["accuracy"] == pytest.approx(right.mean())
    overrides = ["data.samples=60", "data.seed=5"]
    assert main(["evaluate", str(classifier), *overrides]) == 0
    assert "all" in capsys.readouterr().out
    other = ["data={name: arrays, path: " + str(tmp_path / "small.npz") + "}"]
    assert main(["evaluate", str(classifier), *other]) == 2
    assert "in shape [4, 4, 3], trained with [8, 8, 3]" in capsys.readouterr().err


def test_images_on_another_scale_are_noted(classifier: Path, tmp_path: Path, capsys) -> None:
    trained = load_run(classifier)
    test = prepare(trained.config.data["data"], 5).splits["test"]
    x = np.asarray(test.x)
    message = "the largest value of these inputs is 1, in training it was 255"
    for name, images, noted in (("same", x, False), ("small", x / 255, True), ("dark", x // 8, False)):
        path = str(tmp_path / f"{name}.npz")
        np.savez(path, x=images, y=test.y)
        np.savez(tmp_path / f"{name}_x.npz", x=images)
        other = ["data={name: arrays, path: " + path + "}"]
        for command in (["evaluate", str(classifier), *other], ["predict", str(classifier), path[:-4] + "_x.npz"]):
            assert main(command) == 0
            found = capsys.readouterr().err
            assert found.count("the largest value") == noted and (message in found) == noted, (name, command, found)
    with pytest.warns(UserWarning, match="the largest value of these inputs is 1, in"):
        trained.predict(x / 255)


def test_pixels_for_a_model_of_fractions_are_noted(tmp_path: Path, capsys) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random((60, 4, 4, 3)).astype("float32"), np.arange(60) % 3
    np.savez(tmp_path / "fractions.npz", x=x, y=y)
    np.savez(tmp_path / "pixels.npz", x=(x * 255).astype(np.uint8), y=y)
    config = changed(IMAGES, model={"name": "mlp"}, train={"epochs": 1})
    config["data"] = {"name": "arrays", "path": str(tmp_path / "fractions.npz"), "split": {"val": 0.2}}
    folder = go(config, tmp_path / "runs")
    imsave(tmp_path / "image.png", (x[0] * 255).astype(np.uint8))
    assert main(["evaluate", str(folder), f"data.path={tmp_path / 'pixels.npz'}"]) == 0
    assert "the largest value of these inputs is 254, in training it was " in capsys.readouterr().err
    assert main(["predict", str(folder), str(tmp_path / "image.png")]) == 0
    assert "pixels of 0..1 are others than pixels of 0..255" in capsys.readouterr().err
    assert main(["evaluate", str(folder)]) == 0
    assert not capsys.readouterr().err
