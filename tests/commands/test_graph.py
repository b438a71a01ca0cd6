"""`dlcourse graph`: model and loss of a config drawn, and one example walked through them, with a run's weights too."""

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import dlcourse as dl
from dlcourse.cli import main
from dlcourse.errors import ChangedDataError
from dlcourse.experiment.graph import draw_graph
from dlcourse.resources import configs_folder
from tests.browser import Browser

CONFIG = {
    "name": "small",
    "data": {"name": "spirals", "samples": 60, "split": {"val": 10}},
    "model": {"name": "mlp", "hidden": [3]},
    "loss": "cross_entropy",
    "optimizer": {"name": "adam", "lr": 0.01},
    "train": {"epochs": 1, "batch_size": 50},
}
SHAPES = {
    "02_machine_learning/spirals": ["linear", "(N, 64) float32", "(N,) int64", "() float32"],
    "02_machine_learning/polynomial_overfitting": ["squared_error", "(N, 3) float64"],
    "02_machine_learning/gaussian_classifier": ["gaussian_log_density", "prior_logits"],
    "07_optimization/paths_rosenbrock": ["[0]", "1 -", "** 2", "100 *"],
    "10_rnn/adding_problem": ["encoder: LSTM", "(N, 100, 2) float32", "[:, -1]", "squared_error"],
    "02_machine_learning/synthetic_images": ["reshape", "dropout", "cross_entropy"],
}
"""Configs that need no download, and what their drawings say."""


def drawn(arguments: list[str], tmp_path: Path) -> str:
    path = tmp_path / "drawn.svg"
    assert main(["graph", *arguments, "--out", str(path)]) == 0
    text = path.read_text(encoding="utf-8")
    ElementTree.fromstring(text)
    return text


@pytest.mark.parametrize("name", SHAPES)
def test_configs_are_drawn_with_shapes(name: str, tmp_path: Path) -> None:
    text = drawn([str(configs_folder() / f"{name}.yaml")], tmp_path)
    missing = [word for word in SHAPES[name] if f">{word}" not in text]
    assert not missing


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("{name: resnet, depth: 8}", ["ResidualBlock", "(N, 4, 4, 64) float32", "blocks: Sequential"]),
        ("{name: vgg, layers: [4, pool]}", ["max_pool2d", "BatchNorm"]),
        ("{name: cnn, channels: [4], hidden: [8], dropout: 0.5, batch_norm: true}", ["dropout", "batch_norm"]),
    ],
)
def test_nets_for_images(model: str, words: list[str], tmp_path: Path) -> None:
    config = str(configs_folder() / "02_machine_learning" / "synthetic_images.yaml")
    text = drawn([config, f"model={model}", "data.split={val: 0.2}", "data.samples=60", "data.image_size=16"], tmp_path)
    assert not [word for word in words if word not in text]


@pytest.mark.parametrize("model", ["{name: gpt, width: 16, layers: 2}", "{name: char_rnn, hidden: 8, embedding: 4}"])
def test_nets_for_texts_get_the_right_inputs(model: str, tmp_path: Path) -> None:
    """Targets are the tokens one further on, in the same memory."""
    (tmp_path / "text.txt").write_text("to be or not to be, that is the question. " * 20)
    config = CONFIG | {
        "data": {"name": "text", "path": str(tmp_path / "text.txt"), "context": 8, "split": {"val": 0.1}}
    }
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(config | {"model": {"name": "softmax"}}))
    graph = draw_graph(str(path), [f"model={model}"]).graph
    users = {name: [node.operation for node in graph if graph[name] in [s.node for s in node.sources]] for name in "xy"}
    assert users == {"x": ["embedding"], "y": ["cross_entropy"]}
    assert graph["x"].values[0].shown == "(N, 8) int64"


def test_a_closed_form_without_a_loss_says_so(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["graph", "estimators", "--walk"]) == 0
    assert "the config names no loss: there is no graph to draw" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_a_walk_has_the_gradients_of_backward(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = dl.run(CONFIG, out=tmp_path, quiet=True, plots=False, device="cpu")
    assert main(["graph", str(run.folder), "--walk", "--split", "val", "--example", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert not list(tmp_path.glob("*.svg"))
    again = dl.load_run(run.folder)
    data = dl.load_data("spirals", samples=60, split={"val": 10}, normalize=again.config["data.normalize"])
    x, y = data.val
    model = again.model
    loss = dl.functional.cross_entropy(model(dl.tensor(x[3:4].astype("float32"))), y[3:4])
    loss.backward()
    nodes = {node["name"]: node for node in found["nodes"]}
    for name, parameter in model.named_parameters():
        np.testing.assert_allclose(nodes[name]["values"][0]["gradient"], parameter.grad.numpy(), rtol=1e-5, atol=1e-7)
    assert found["nodes"][-1]["values"][0]["value"] == pytest.approx(loss.item(), rel=1e-5)
    assert "example 3 of the val split, with the target" in found["notes"][0]


def test_the_table_and_the_picture_of_a_walk(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(json.dumps(CONFIG))
    assert main(["graph", "small.yaml", "--walk", "train.l2=0.1"]) == 0
    out = capsys.readouterr().out
    assert "train.l2 = 0.1 adds a penalty" in out and out.splitlines()[-1] == "small.svg"
    assert "layers.3.bias    parameter" in out and "d/dv2 [[1, 0, 0]]" in out
    assert "[0, 0, 0]" in Path("small.svg").read_text()
    assert main(["graph", "small.yaml", "--format", "dot", "--out", "-", "--depth", "0"]) == 0
    assert '"MLP\\n(N, 3) float32\\n21 parameters"' in capsys.readouterr().out


def test_changed_data_and_an_ensemble_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "a.npz", x=np.random.default_rng(0).normal(size=(40, 2)), y=np.arange(40) % 3)
    data = {"name": "arrays", "path": str(tmp_path / "a.npz"), "split": {"val": 10}}
    run = dl.run(CONFIG | {"data": data}, out=tmp_path, quiet=True, plots=False, device="cpu")
    np.savez(tmp_path / "a.npz", x=np.random.default_rng(1).normal(size=(40, 2)), y=np.arange(40) % 3)
    with pytest.raises(ChangedDataError, match="changed since"):
        draw_graph(str(run.folder))
    assert main(["graph", str(run.folder), "model.hidden=[3]"]) == 2
    assert "is a run, whose weights belong to its config" in capsys.readouterr().err
    (tmp_path / "two.yaml").write_text(json.dumps(CONFIG | {"ensemble": 2}))
    out = tmp_path / "runs"
    assert main(["run", str(tmp_path / "two.yaml"), "--out", str(out), "--quiet", "--no-plots"]) == 0
    (folder,) = (path.parent for path in out.glob("*/*/sweep.json"))
    capsys.readouterr()
    for command in ("graph", "landscape"):
        assert main([command, str(folder)]) == 2
        assert "takes the run of one model; name that of a member" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.yaml"], "no such file"),
        (["spirals", "--depth", "-1"], "expected a number of levels of at least 0"),
        (["spirals", "--format", "png"], "invalid choice"),
        (["spirals", "--out", "a.png"], "ends in .svg or .dot; for other formats"),
        (["spirals", "--out", "missing/a.svg"], "there is no folder missing"),
        (["spirals", "--out", "a.svg", "--format", "dot"], "is no dot file"),
        (["spirals", "--json", "--out", "-"], "take one of them"),
        (["spirals", "--example", "3"], "add --walk"),
        (["spirals", "--walk", "--example", "540"], "the train split has the examples 0 to 539"),
        (["spirals", "--walk", "--example", "-1"], "the train split has the examples 0 to 539"),
        (["rent_line", "data.split={train: 1.0}", "--walk", "--split", "val"], "--split val: there is none"),
        (["spirals", "model.hiden=3"], "did you mean 'hidden'?"),
        (["."], "not a run folder"),
    ],
)
def test_wrong_arguments_are_named(arguments: list[str], message: str, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["graph", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_browser_shows_it(tmp_path: Path) -> None:
    text = drawn([str(configs_folder() / "02_machine_learning" / "spirals.yaml"), "--walk"], tmp_path)
    with Browser(tmp_path) as page:
        page.open((tmp_path / "drawn.svg").as_uri())
        page.wait("document.readyState", "complete")
        page.wait("document.documentElement.tagName", "svg")
        assert page.value("document.querySelectorAll('path[marker-end]').length") == text.count("marker-end")
        wide = """[...document.querySelectorAll('g')].filter(g => [...g.querySelectorAll('text')].some(
            t => t.getBBox().width > g.querySelector('rect, polygon').getBBox().width)).length"""
        assert page.value(wide) == 0, "a line of text is wider than its box"
