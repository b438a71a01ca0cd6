"""`dlcourse explain`: pictures of what a net sees, of numbered images, of a class, of files; and what it refuses."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import dlcourse as dl
from dlcourse.cli import main
from dlcourse.experiment import explanation
from dlcourse.training import explanations

CONFIG: dict[str, Any] = {
    "data": {"name": "synthetic_images", "samples": 80, "classes": 3, "image_size": 12, "normalize": "standardize",
             "split": {"val": 20, "test": 30}},
    "model": {"name": "cnn", "channels": [4, 5], "hidden": [6]},
    "loss": "cross_entropy",
    "optimizer": {"name": "adam", "lr": 0.01},
    "metrics": ["accuracy"],
    "train": {"epochs": 2, "batch_size": 20},
}  # fmt: skip
FILES = {"attributions", "activation_maps", "filters"}


def trained(place: Path, **sections: Any) -> Path:
    return dl.run({**CONFIG, **sections}, out=place, quiet=True, plots=False, device="cpu").folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("cnn"))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few steps of gradient ascent."""
    ascent = explanation.explain.class_visualization
    monkeypatch.setattr(explanation.explain, "class_visualization", lambda *a, **k: ascent(*a, **k, steps=2))


def asked(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["explain", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_training_writes_what_costs_little(run: Path) -> None:
    assert {path.stem for path in (run / "explain").iterdir()} == FILES
    with np.load(run / "explain" / "attributions.npz") as found:
        assert found["images"].shape == (3, 12, 12, 3) and found["images"].dtype == np.uint8
        assert found["map_saliency"].shape == found["map_grad_cam"].shape == (3, 12, 12)
        assert json.loads(str(found["facts"]))["split"] == "test"
    with np.load(run / "explain" / "activation_maps.npz") as found:
        assert found["maps_0"].shape == (2, 12, 12, 4) and found["maps_1"].shape == (2, 6, 6, 5)
    with np.load(run / "explain" / "filters.npz") as found:
        weight = dl.load_run(run).model.state_dict()["layers.0.weight"]
        np.testing.assert_array_equal(found["filters"], weight)


def test_other_runs_have_none_of_it(tmp_path: Path) -> None:
    assert not (trained(tmp_path, model={"name": "mlp", "hidden": [4]}) / "explain").exists()
    assert not (trained(tmp_path, train={"epochs": 1, "evaluate": []}, metrics=[]) / "explain").exists()
    config = {**CONFIG, "sweep": {"grid": {"optimizer.lr": [0.01, 0.02]}}}
    dl.sweeps.run_sweep(config, out=tmp_path, quiet=True, plots=False, device="cpu")
    assert not list(tmp_path.glob("**/points/**/explain"))


def test_a_model_that_cannot_be_explained_is_trained_all_the_same(tmp_path, monkeypatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("no map")

    monkeypatch.setattr(explanations.explain, "grad_cam", broken)
    folder = trained(tmp_path)
    assert "no pictures of what the net sees: ZeroDivisionError: no map" in (folder / "log.txt").read_text()
    assert (folder / "result.json").exists() and not (folder / "explain").exists()


def test_all_methods_of_the_first_images_of_classes(run: Path, capsys) -> None:
    pytest.importorskip("sklearn")
    found = asked(capsys, str(run), "--samples", "30", "--sanity")
    assert [each["true"] for each in found["images"]] == dl.load_run(run).inputs.class_names
    names = "filters activation_maps attributions class_visualization feature_neighbors embedding receptive_field"
    pictures = [Path(file).stem for file in found["files"][:-1]]
    assert pictures == [*names.split(), "randomization"] and Path(found["files"][-1]).name == "report.html"
    assert all(Path(file).parent == run / "plots" for file in found["files"][:-1])
    page = (run / "report.html").read_text()
    assert page.count("data:image/png") >= 8 and "SmoothGrad, the same" in page
    sums, changes = (np.array(found["integrated_gradients"][key]) for key in ("sum", "score_minus_baseline"))
    np.testing.assert_allclose(sums, changes, atol=0.05 * abs(changes).max())
    assert found["receptive_field"] == {"layers.1": [3, 3], "layers.4": [8, 8]}
    assert set(found["sanity"]) == set(explanations.ATTRIBUTIONS) and found["grad_cam"] == {"layer": "layers.4"}
    assert list(found["sanity"]["saliency"]) == ["layers.9", "layers.7", "layers.3", "layers.0"]
    assert sum(found["pca"]["explained_variance_ratio"]) <= 1
    indices = np.array(found["neighbors"]["indices"])
    assert indices.shape == (3, 8) and indices.max() < 30


def test_the_images_are_those_that_were_asked_for(run: Path, tmp_path: Path, capsys) -> None:
    trained_model, data = dl.load_run(run), explanation.own_data(dl.load_run(run))
    first = str(trained_model.inputs.class_names[0])
    out = ("--out", str(tmp_path))
    found = asked(capsys, str(run), "--images", "4,0", "--target", first, "--method", "saliency", "--split", "val")
    assert [each["image"] for each in found["images"]] == ["val 4", "val 0"]
    assert [each["explained"] for each in found["images"]] == [first, first]
    outputs = trained_model.predict(np.asarray(data.splits["val"].x[[4, 0]]))
    np.testing.assert_allclose([each["score"] for each in found["images"]], outputs[:, 0], rtol=1e-4)
    with np.load(run / "explain" / "attributions.npz") as file:
        z = data.normalizer.apply(np.asarray(data.splits["val"].x[[4, 0]]), np.float32)
        expected = dl.explain.saliency(trained_model.model, z, 0).numpy()
        np.testing.assert_allclose(file["map_saliency"], expected, rtol=1e-5)
        assert "map_grad_cam" not in file
    of_class = asked(
        capsys, str(run), "--class", first, "--count", "2", "--method", "grad-cam", "--layer", "layers.1", *out
    )
    assert [each["true"] for each in of_class["images"]] == [first, first] and of_class["grad_cam"][
        "layer"
    ] == "layers.1"
    pixels = np.asarray(data.splits["test"].x[:1])[0]
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "new.png")
    new = asked(capsys, str(run), "--images", f"{tmp_path / 'new.png'},1", "--method", "occlusion,saliency", *out)
    assert new["images"][0]["true"] is None and new["images"][1]["image"] == "test 1"


def test_elsewhere_the_run_stays_as_it_is(run: Path, tmp_path: Path, capsys) -> None:
    def content() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in run.rglob("*")}

    before = content()
    assert main(["explain", str(run), "--out", str(tmp_path / "a" / "b"), "--method", "filters,activations,pca"]) == 0
    shown = capsys.readouterr().out
    files = sorted(path.name for path in (tmp_path / "a" / "b").iterdir())
    assert files == ["activation_maps.png", "embedding.png", "filters.png"] and content() == before
    assert (
        "last.safetensors, step" in shown
        and "explained" in shown
        and str(tmp_path / "a" / "b" / "filters.png") in shown
    )


def test_without_convolutions_what_makes_sense(tmp_path: Path, capsys) -> None:
    gray = {**CONFIG["data"], "normalize": "none"}
    folder = trained(tmp_path, model={"name": "mlp", "hidden": [6]}, data=gray)
    methods = "saliency,class_visualization,pca,neighbors"
    found = asked(capsys, str(folder), "--samples", "10", "--method", methods, "--out", str(tmp_path / "out"))
    assert len(found["files"]) == 4
    assert main(["explain", str(folder), "--method", "grad_cam"]) == 2
    message = "Grad-CAM needs a convolutional layer; this model has none; use --method saliency"
    assert message in capsys.readouterr().err


def test_of_a_regression_the_value_is_explained(tmp_path: Path, capsys) -> None:
    x = np.random.default_rng(0).normal(size=(40, 8, 9, 1)).astype("float32")
    np.savez(tmp_path / "images.npz", x=x, y=x.mean(axis=(1, 2)))
    data = {"name": "arrays", "path": str(tmp_path / "images.npz"), "split": {"test": 10}}
    folder = trained(tmp_path, data=data, loss="mse", metrics=["mse"])
    found = asked(capsys, str(folder), "--count", "2", "--out", str(tmp_path / "out"))
    assert [each["explained"] for each in found["images"]] == ["y", "y"]
    assert len(found["files"]) == 4 and "pca" not in found and "grad_cam" in found
    for option, message in [
        ("--method=pca", "needs classes; this run predicts y"),
        ("--target=cat", "knows no classes"),
    ]:
        assert main(["explain", str(folder), option]) == 2
        assert message in capsys.readouterr().err


def test_on_each_device(device: str, tmp_path: Path, capsys) -> None:
    """What training writes, and all pictures, where the arrays lie on a GPU."""
    folder = dl.run(CONFIG, out=tmp_path, quiet=True, plots=False, device=device).folder
    assert {path.stem for path in (folder / "explain").iterdir()} == FILES
    methods = "saliency,occlusion,grad_cam,activations,neighbors,receptive_field,class_visualization,pca"
    options = ["--device", device, "--count", "2", "--samples", "20", "--method", methods, "--sanity"]
    found = asked(capsys, str(folder), *options, "--out", str(tmp_path / "out"))
    assert len(found["files"]) == 7 and set(found["sanity"]) == {"saliency", "occlusion", "grad_cam"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--images", "30"], "the test split has the images 0..29"),
        (["--images", "no.png"], "no.png"),
        (["--images", "-1"], "or the number of an image in the split, from 0"),
        (["--images", ","], "names nothing"),
        (["--class", "dog"], "no class of that name"),
        (["--target", "dog"], "no class of that name"),
        (["--split", "holdout"], "there is none in this run; there are train, val, test"),
        (["--method", "gradcam"], "did you mean 'grad_cam'"),
        (["--layer", "layers.99"], "no module 'layers.99'"),
        (["--layer", "layers.7", "--method", "grad_cam"], "expected a layer with maps"),
        (["--layer", "layers.7", "--method", "activations"], "no maps of an image"),
        (["--images", "1", "--class", "x"], "give one of them"),
        (["--count", "0"], "--count is at least 1"),
        (["--samples", "1"], "--samples at least 4"),
        (["--out", "FILE"], "is a file; give the name of a folder"),
        (["--out", "FILE/in"], "cannot be written"),
    ],
)
def test_wrong_options_are_named(options: list[str], message: str, run: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "file").write_text("")
    options = [each.replace("FILE", str(tmp_path / "file")) for each in options]
    methods = [] if "--method" in options else ["--method", "filters"]
    assert main(["explain", str(run), *options, *methods]) == 2
    shown = capsys.readouterr().err
    assert message in shown and "Traceback" not in shown


def test_runs_without_images_are_refused(tmp_path: Path, capsys) -> None:
    spirals = {"name": "spirals", "samples": 60}
    folder = trained(tmp_path, data=spirals, model={"name": "mlp", "hidden": [4]})
    assert main(["explain", str(folder)]) == 2
    assert "explain draws images in gray or color, the inputs of this run are (2,)" in capsys.readouterr().err
    assert main(["explain", str(tmp_path)]) == 2


def test_tsne_that_is_asked_for_needs_scikit_learn(run: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(dl.explain.embedding, "has_scikit_learn", lambda: False)
    monkeypatch.setattr(explanation, "has_scikit_learn", lambda: False)
    assert main(["explain", str(run), "--method", "tsne"]) == 2
    assert "pip install scikit-learn" in capsys.readouterr().err
    assert main(["explain", str(run), "--samples", "20", "--count", "1", "--out", str(tmp_path)]) == 0
    assert "no t-SNE: it needs scikit-learn" in capsys.readouterr().out
