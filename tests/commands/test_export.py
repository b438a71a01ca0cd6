"""``dlcourse export``: the model of a run for PyTorch, and as ONNX."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

import dlcourse as dl
from dlcourse.cli import main

CNN: dict[str, Any] = {
    "name": "cnn",
    "data": {"name": "synthetic_images", "samples": 60, "classes": 3, "image_size": 8, "normalize": "standardize"},
    "model": {"name": "cnn", "channels": [4], "hidden": [8], "batch_norm": True},
    "loss": "cross_entropy",
    "optimizer": {"name": "sgd", "lr": 0.01},
    "train": {"epochs": 1, "batch_size": 20},
}
FLATS: dict[str, Any] = {
    **CNN,
    "name": "flats",
    "data": {"name": "sine_curve", "samples": 40, "normalize": "standardize", "normalize_target": "standardize"},
    "model": {"name": "mlp", "hidden": [4]},
    "loss": "mse",
}


def trained(config: dict[str, Any], out: Path) -> Any:
    dl.run(config, out=out, plots=False, quiet=True)
    (folder,) = (out / config["name"]).iterdir()
    return dl.load_run(folder)


@pytest.fixture(scope="module")
def cnn(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return trained(CNN, tmp_path_factory.mktemp("cnn"))


def export(run: Any, target: Path, *options: str) -> int:
    return main(["export", str(run.folder.path), "--to", str(target), *options])


def answers(path: Path, x: np.ndarray) -> np.ndarray:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    return runtime.InferenceSession(str(path)).run(None, {"input": x.astype("float32")})[0]


def test_onnx_with_and_without_normalization(cnn: Any, tmp_path: Path, capsys: Any) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    x = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3)).astype("uint8")
    assert export(cnn, tmp_path / "raw.onnx", "--with-normalization") == 0
    assert "opset 18" in (said := capsys.readouterr().out) and "--with-normalization" not in said
    np.testing.assert_allclose(answers(tmp_path / "raw.onnx", x), cnn.predict(x), rtol=1e-4, atol=1e-5)
    assert export(cnn, tmp_path / "model.onnx") == 0
    assert "it takes normalized inputs, as the model does: --with-normalization for" in capsys.readouterr().out
    z = cnn.normalizer.apply(x)
    np.testing.assert_allclose(answers(tmp_path / "model.onnx", z), cnn.predict(x), rtol=1e-4, atol=1e-5)
    facts = {each.key: each.value for each in onnx.load(tmp_path / "model.onnx").metadata_props}
    assert json.loads(facts["class_names"]) == cnn.inputs.class_names and facts["normalization"] == "outside"
    np.testing.assert_allclose(json.loads(facts["normalizer.shift"]), cnn.normalizer.shift)


def test_scaled_targets_come_back_in_their_own_units(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    run = trained(FLATS, tmp_path)
    assert export(run, tmp_path / "flats.onnx", "--with-normalization") == 0
    x = np.linspace(0, 1, 7)[:, None]
    np.testing.assert_allclose(answers(tmp_path / "flats.onnx", x), run.predict(x), rtol=1e-4, atol=1e-5)


def test_weights_for_pytorch_and_back(cnn: Any, tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "cnn.safetensors"
    assert export(cnn, path, "--torch") == 0
    assert "in PyTorch's layout, 10 arrays: layers.0.weight" in capsys.readouterr().out
    with safe_open(path, "numpy") as file:
        assert file.metadata()["format"] == "pt" and "normalizer.shift" in file.metadata()
        assert file.get_tensor("layers.0.weight").shape == (4, 3, 3, 3)
        assert set(file.keys()) == {*cnn.model.state_dict(), "layers.1.num_batches_tracked"}
    frozen = {**CNN["train"], "init_from": str(path), "freeze": ["layers.0", "layers.1", "layers.5"]}
    frozen |= {"reinit": ["layers.7"]}
    again = trained({**CNN, "name": "again", "train": frozen}, tmp_path)
    for name in ("layers.0.weight", "layers.1.running_var", "layers.5.weight"):
        np.testing.assert_array_equal(again.model.state_dict()[name], cnn.model.state_dict()[name])
    log = (again.folder.path / "log.txt").read_text()
    assert "not used" not in log and "normalized" not in log


def test_training_begins_with_a_file_of_pytorch(cnn: Any, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    state = dl.interop.torch.to_torch_state_dict(cnn.model)
    torch.save(state, tmp_path / "cnn.pt")
    frozen = {**CNN["train"], "init_from": str(tmp_path / "cnn.pt"), "freeze": ["layers.5"]}
    again = trained({**CNN, "name": "again", "train": frozen}, tmp_path)
    np.testing.assert_array_equal(again.model.layers[5].weight.numpy(), cnn.model.layers[5].weight.numpy())


def test_files_that_are_no_weights(cnn: Any, tmp_path: Path, capsys: Any) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    state = dl.interop.torch.to_torch_state_dict(cnn.model)
    torch.save({**state, "layers.0.weight": torch.ones(4, 3, 5, 5)}, tmp_path / "shape.pt")
    torch.save(torch.nn.Linear(2, 1), tmp_path / "module.pt")
    (tmp_path / "text.pt").write_text("hello")
    for name, said in (
        ("shape.pt", r"layers.0.weight is (4, 5, 5, 3) in it, (4, 3, 3, 3) in the model"),
        (
            "module.pt",
            "module.pt: PyTorch reads no tensors from it; expected what torch.save(model.state_dict(), path)",
        ),
        ("text.pt", "text.pt: PyTorch reads no tensors from it"),
    ):
        with pytest.raises(dl.errors.ConfigError) as error:
            trained({**CNN, "train": {**CNN["train"], "init_from": str(tmp_path / name)}}, tmp_path / "runs")
        assert said in str(error.value)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("model", [], "ends in .safetensors, .npz or .onnx"),
        ("model.pt", [], "ends in .safetensors, .npz or .onnx"),
        ("model.npz", ["--torch"], "--torch writes a file that ends in .safetensors"),
        ("model.onnx", ["--torch"], "--torch writes a file that ends in .safetensors"),
        ("model.npz", ["--with-normalization"], "--with-normalization is for .onnx"),
        ("nowhere/model.onnx", [], "there is no folder"),
    ],
)
def test_what_is_wrong_is_said(cnn: Any, tmp_path: Path, name: str, options: list, said: str, capsys: Any) -> None:
    assert export(cnn, tmp_path / name, *options) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_model_that_onnx_cannot_say(tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    run = trained({**CNN, "name": "knn", "model": {"name": "knn"}, "optimizer": "closed_form", "loss": None,
                   "metrics": ["accuracy"], "train": {"epochs": 1}}, tmp_path)  # fmt: skip
    assert export(run, tmp_path / "knn.onnx") == 2
    said = capsys.readouterr().err
    assert "KNN in ONNX: an output of the model comes from code that is not recorded" in said
    assert f"--to {tmp_path / 'knn.safetensors'} writes its weights" in said
