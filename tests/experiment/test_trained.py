import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from dlcourse.cli import main
from dlcourse.data import load_data
from dlcourse.errors import CheckpointError, ConfigError, UserError
from dlcourse.experiment import evaluate_run, load_run, run
from dlcourse.experiment.trained import units
from dlcourse.training.checkpoints.file_format import read
from tests.checkpoint_bytes import encode
from tests.conftest import forget_plugins

from .samples import LINE, NET, changed, only_run, write


def go(config: dict, out: Path) -> Path:
    return run(config, out=out, plots=False, quiet=True).folder


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return go(LINE, tmp_path_factory.mktemp("line"))


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stopped early, so that its results are those of the best weights; with a moving average."""
    stopping = {"metric": "cross_entropy", "patience": 2}
    return go(changed(NET, train={"epochs": 200, "early_stopping": stopping}), tmp_path_factory.mktemp("net"))


def result(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())


def test_evaluating_measures_what_the_run_measured(tmp_path: Path) -> None:
    train = {"epochs": 2, "evaluate": ["val"], "best": {"metric": "loss"}}
    folder = go(changed(NET, train=train), tmp_path)
    assert set(result(folder)["metrics"]) == {"val"}
    assert set(result(folder)["metrics"]["val"]) == {"accuracy", "cross_entropy", "loss"}
    again = evaluate_run(load_run(folder))
    assert {split: pytest.approx(metrics) for split, metrics in result(folder)["metrics"].items()} == again
    assert set(units(load_run(folder))) == set(again["val"])
    assert set(evaluate_run(load_run(folder), "test")) == {"test"}


def test_evaluating_gives_the_runs_own_metrics_again(line: Path, net: Path) -> None:
    for folder in (line, net):
        assert evaluate_run(load_run(folder)) == result(folder)["metrics"]
    assert result(net)["weights"]["from"] == "best"
    last = evaluate_run(load_run(net, which="last"))
    assert last["train"] != result(net)["metrics"]["train"]
    assert evaluate_run(load_run(net / "checkpoints/last.safetensors")) == last


def test_evaluating_one_split_or_all_samples(line: Path) -> None:
    trained = load_run(line)
    metrics = result(line)["metrics"]
    assert evaluate_run(trained, "test") == {"test": metrics["test"]}
    whole = evaluate_run(trained, "all")["all"]["half_sse"]
    assert whole == pytest.approx(sum(each["half_sse"] for each in metrics.values()))
    with pytest.raises(UserError, match="there is no validation split"):
        evaluate_run(trained, "validation")


def test_other_data_are_normalized_as_the_run_was(line: Path, tmp_path: Path) -> None:
    trained = load_run(line)
    found = evaluate_run(trained, data=["data.samples=1000", "data.seed=77"])
    slope, intercept = result(line)["estimates"]["slope"], result(line)["estimates"]["intercept"]
    from dlcourse.data import prepare

    section = {**trained.config.data["data"], "samples": 1000, "seed": 77}
    dataset = prepare({**section, "split": {}}, 0).dataset
    expected = np.mean((dataset.y - slope * dataset.x - intercept) ** 2)
    assert found["all"]["mse"] == pytest.approx(expected, rel=1e-4)
    with pytest.raises(ConfigError, match=r"only data.\* can be changed"):
        evaluate_run(trained, data=["model.name=mlp"])
    with pytest.raises(ConfigError, match="model.name: linear is for regression, the data are for classification"):
        evaluate_run(trained, data={"data": {"name": "spirals"}})


def test_what_takes_one_step_is_kept_once(tmp_path: Path) -> None:
    """Nearest neighbors are the training data: a best beside the last is the same again."""
    config = {**NET, "model": "knn", "loss": None, "optimizer": "closed_form", "train": {}}
    folder = go(config, tmp_path)
    assert "val" in result(folder)["metrics"] and result(folder)["best"]["step"] == 1
    assert [path.name for path in (folder / "checkpoints").glob("*.safetensors")] == ["last.safetensors"]
    assert evaluate_run(load_run(folder, which="best")) == result(folder)["metrics"]
    for command in (["export", str(folder), "--to", str(tmp_path / "knn.npz")], ["evaluate", str(folder)]):
        assert main([*command, "--checkpoint", "best"]) == 0
    assert len(np.load(tmp_path / "knn.npz")["samples"]) == len(load_run(folder).model.samples)


def test_predicting_needs_no_data_file(tmp_path: Path, capsys) -> None:
    data = tmp_path / "flats.csv"
    rows = [f"{500 + i},{'AB'[i % 2]},{2 * i + 35 * (i % 2)}" for i in range(40)]
    data.write_text("\n".join(["size,city,rent", *rows]))
    config = changed(LINE, name="flats", precision="float64")
    config["data"] = {"name": "csv", "path": str(data), "target": "rent", "units": {"rent": "euros", "size": "m^2"}}
    folder = go(config, tmp_path)
    data.unlink()
    assert main(["predict", str(folder), "510,B"]) == 0
    assert capsys.readouterr().out == "rent = 55 euros\n"
    assert main(["predict", str(folder), "900,A"]) == 0
    out, err = capsys.readouterr()
    assert out == "rent = 800 euros\n" and "size = 900 lies outside 500..539 m^2" in err
    assert main(["predict", str(folder), "900"]) == 2
    assert "expected 2 values: size [m^2], city (A|B)" in capsys.readouterr().err


def test_inputs_are_not_normalized_twice(line: Path) -> None:
    trained, data = load_run(line), load_data(LINE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = trained.predict(data.splits["test"].x)
        np.testing.assert_array_equal(trained.predict(data.test), expected)
    with pytest.warns(UserWarning, match="look as if they were normalized already.*give inputs as the files have them"):
        trained.predict(data.test.inputs)


def test_predicting_a_class_with_probabilities(net: Path, capsys) -> None:
    assert main(["predict", str(net), "0.1,0.2"]) == 0
    out = capsys.readouterr().out
    trained = load_run(net)
    logits = trained.predict(np.array([[0.1, 0.2]]))[0].astype(float)
    odds = np.exp(logits) / np.exp(logits).sum()
    assert out.startswith(f"{trained.inputs.class_names[odds.argmax()]} (probability {odds.max():.4f}; ")


def test_predicting_with_a_standard_deviation(tmp_path: Path, capsys) -> None:
    config = changed(LINE, model="gaussian_regression", optimizer="closed_form", loss="gaussian_nll", metrics=["mse"])
    folder = go(config, tmp_path)
    assert main(["predict", str(folder), "1000"]) == 0
    name, value, plus_minus, sigma, unit = capsys.readouterr().out.rsplit(maxsplit=4)
    assert plus_minus == "+-" and unit == "dollars" and float(sigma) > 0
    assert float(sigma) == pytest.approx(result(folder)["estimates"]["sigma"], rel=1e-4)


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_exported_weights_are_those_that_were_judged(net: Path, tmp_path: Path, suffix: str, capsys) -> None:
    target = tmp_path / f"weights.{suffix}"
    assert main(["export", str(net), "--to", str(target)]) == 0
    expected = load_run(net).model.state_dict()
    if suffix == "npz":
        with np.load(target, allow_pickle=False) as archive:
            found = dict(archive)
        config = str(found.pop("config"))
        inputs = json.loads(str(found.pop("inputs")))
    else:
        with safe_open(target, "numpy") as archive:
            found = {name: archive.get_tensor(name) for name in archive.keys()}  # noqa: SIM118 - not a mapping
            config, inputs = archive.metadata()["config"], json.loads(archive.metadata()["inputs"])
    assert set(found) == {*expected, "normalizer.shift", "normalizer.scale"}
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)
    assert config == (net / "config.yaml").read_text()
    assert inputs["class_names"]
    assert main(["export", str(net), "--to", str(tmp_path / "weights.pkl")]) == 2
    assert "ends in .safetensors, .npz or .onnx" in capsys.readouterr().err


def test_checkpoints_of_another_model_are_refused_with_a_list(net: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(net, folder)
    path = folder / "checkpoints/best.safetensors"
    found = read(path)
    arrays = dict(found.arrays)
    arrays["model.extra"] = arrays.pop("model.layers.1.bias")
    arrays["model.layers.4.weight"] = arrays["model.layers.4.weight"][:3]
    path.write_bytes(encode(arrays, found.state))
    with pytest.raises(CheckpointError) as caught:
        load_run(folder)
    messages = str(caught.value)
    assert "missing: layers.1.bias (16,) float32" in messages and "extra: extra (16,)" in messages
    assert "differs: layers.4.weight: expected (16, 16) float32, got (3, 16) float32" in messages
    path.write_bytes(b"damaged")
    assert main(["evaluate", str(folder)]) == 2
    assert main(["evaluate", str(folder), "--checkpoint", "last"]) == 0


def test_the_commands_print_tables_and_one_line_errors(line: Path, tmp_path: Path, capsys) -> None:
    assert main(["evaluate", str(line), "--split", "test"]) == 0
    out = capsys.readouterr().out
    assert "last.safetensors, step 1" in out and "half_sse [dollars^2]" in out and " train " not in out
    for arguments in (["evaluate", str(tmp_path)], ["predict", str(tmp_path / "absent"), "1"]):
        assert main(arguments) == 2
        err = capsys.readouterr().err
        assert err.startswith("dlcourse: error: ") and err.count("\n") == 1


def test_runs_with_components_of_ones_own_ask_for_the_file(tmp_path: Path, capsys) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "from dlcourse.models.linear import LinearModel\n"
        "from dlcourse.registry import register\n\n\n"
        "@register('model', 'mine_for_this_test')\n"
        "class Mine(LinearModel):\n"
        "    '''A line.'''\n\n"
        "    def __init__(self, in_shape: tuple[int, ...], out_features: int):\n"
        "        super().__init__(in_shape, out_features)\n"
    )

    def dlcourse(*arguments: Any) -> tuple[int, str, str]:
        """As in a process of its own."""
        forget_plugins()
        code = main([str(each) for each in arguments])
        return code, *capsys.readouterr()

    config = write(tmp_path, changed(LINE, model="mine_for_this_test"))
    code, _, err = dlcourse("--plugin", plugin, "run", config, "--out", tmp_path / "out", "--quiet", "--no-plots")
    assert code == 0, err
    folder = only_run(tmp_path / "out")
    (recorded,) = json.loads((folder / "environment.json").read_text())["plugins"]
    assert recorded["path"] == str(plugin) and len(recorded["sha256"]) == 64
    copy = folder / "plugins/mine.py"
    assert recorded["copy"] == "plugins/mine.py" and copy.read_bytes() == plugin.read_bytes()
    code, _, err = dlcourse("predict", folder, "1000")
    assert code == 2 and f"name it again: --plugin {plugin}, or as the run keeps it: --plugin {copy}" in err
    code, before, err = dlcourse("predict", folder, "1000", "--plugin", plugin)
    assert code == 0 and "changed" not in err
    # Another meaning, and another signature: the old run goes by its copy, and a note says so.
    changed_text = plugin.read_text().replace("int):", "int, more: int):")
    plugin.write_text(changed_text + "\n    def forward(self, x):\n        1 / 0\n")
    for arguments in (["predict", folder, "1000"], ["evaluate", folder], ["run", "--resume", folder, "--no-plots"]):
        code, out, err = dlcourse(*arguments, "--plugin", plugin)
        messages = f"{plugin} was changed since this run was made with it; the run's own copy is used: {copy}"
        assert code == 0 and messages in out + err and out.count(messages) + err.count(messages) == 1, err
    assert dlcourse("predict", folder, "1000", "--plugin", plugin)[1] == before
    assert dlcourse("predict", folder, "1000", "--plugin", copy)[:2] == (0, before)
    # A file of that name elsewhere is not the one that the run was made from: no code of the run is run for it.
    elsewhere = tmp_path / "elsewhere/mine.py"
    elsewhere.parent.mkdir()
    elsewhere.write_text("# by another hand\n" + copy.read_text())
    code, out, err = dlcourse("predict", folder, "1000", "--plugin", elsewhere)
    assert (code, out) == (0, before)
    assert f"{elsewhere} is not as the file that this run was made with; it is used all the same" in err
    # A copy that was changed is none.
    copy.write_text("raise SystemExit('no')")
    plugin.write_text(elsewhere.read_text())
    code, out, err = dlcourse("predict", folder, "1000", "--plugin", plugin)
    assert (code, out) == (0, before) and "the run keeps no copy of it" in err


def test_where_a_checkpoint_is_damaged_the_others_are_named(tmp_path: Path) -> None:
    folder = go(changed(NET, train={"checkpoint_every": 20}), tmp_path)
    (folder / "checkpoints/last.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError) as caught:
        load_run(folder)
    messages = str(caught.value)
    assert (
        "last.safetensors: damaged" in messages
        and "--checkpoint best" in messages
        and "--checkpoint last" not in messages
    )
    assert f"of step 100: {folder}/checkpoints/previous.safetensors" in messages and f"--resume {folder}" in messages
    assert load_run(folder, which="best").source.state["step"]


def table(path: Path, rows: int) -> None:
    x = np.random.default_rng(0).normal(size=(rows, 2))
    path.write_text("\n".join(["a,b,y", *(f"{a},{b},{'yes' if a + b > 0 else 'no'}" for a, b in x)]) + "\n")


@pytest.fixture
def own(tmp_path: Path) -> tuple[Path, Path]:
    """A run on a table, and the table."""
    data = tmp_path / "data.csv"
    table(data, 40)
    section = {"name": "csv", "path": str(data), "target": "y", "split": {"train": 0.6, "val": 0.2, "test": 0.2}}
    optimizer = {"name": "sgd", "lr": 0.1}
    config = {**LINE, "seed": 20, "data": section, "model": "softmax", "loss": "cross_entropy", "optimizer": optimizer}
    return go({**config, "metrics": ["accuracy"]}, tmp_path / "runs"), data


@pytest.mark.parametrize("arguments", [[], ["--split", "test"], ["--split", "all"], ["data.limit={test: 3}"]], ids=str)
def test_data_that_changed_since_are_refused_unless_allowed(own, arguments: list[str], capsys) -> None:
    folder, data = own
    assert main(["evaluate", str(folder), *arguments]) == 0
    before = capsys.readouterr().out
    table(data, 41)
    assert main(["evaluate", str(folder), *arguments]) == 2
    error = capsys.readouterr().err
    assert "train had 24 samples, now 25" in error and "--allow-changed-data" in error and str(data) in error
    assert main(["evaluate", str(folder), *arguments, "--allow-changed-data"]) == 0
    assert "dlcourse: note: " in (messages := capsys.readouterr().err) and "train had 24 samples, now 25" in messages
    table(data, 40)
    assert main(["evaluate", str(folder), *arguments]) == 0
    assert capsys.readouterr().out == before


def test_other_data_and_new_inputs_are_no_changed_data(own, tmp_path: Path) -> None:
    folder, data = own
    table(data, 41)
    table(tmp_path / "other.csv", 30)
    assert set(evaluate_run(load_run(folder), data=[f"data.path={tmp_path / 'other.csv'}"])) == {"all"}
    assert main(["predict", str(folder), "0.1,0.2"]) == 0


@pytest.mark.parametrize(
    ("old", "new", "messages"),
    [
        ("seed: 20", "seed: 21", "seed is 21, trained with 20"),
        ("train: 0.6", "train: 0.5", "data.split.train is 0.5, trained with 0.6"),
        ("", "", ""),
        ("lr: 0.1", "lr: 0.2", "optimizer.lr is 0.2, trained with 0.1"),
    ],
    ids=["seed", "split", "metrics", "lr"],
)
def test_every_reader_of_a_run_finds_a_config_that_was_changed(own, capsys, old: str, new: str, messages: str) -> None:
    folder, _ = own
    file = folder / "config.yaml"
    text = file.read_text()
    if not messages:
        old, new, messages = "name: accuracy", "name: cross_entropy", "metrics is "
    assert old in text
    file.write_text(text.replace(old, new))
    for arguments in (["evaluate"], ["predict", "0.1,0.2"], ["export", "--to", str(folder / "x.npz")]):
        assert main([arguments[0], str(folder), *arguments[1:]]) == 2
        assert f"{file}: was changed" in (error := capsys.readouterr().err) and messages in error
    assert main(["run", "--resume", str(folder)]) == 2
    assert main(["report", str(folder)]) == 0
    assert "config.yaml was changed after the run" in (folder / "report.html").read_text()
    file.write_text(text)
    assert main(["report", str(folder)]) == 0
    assert "config.yaml was changed" not in (folder / "report.html").read_text()


@pytest.mark.parametrize("arguments", [["data.path=other.csv"], ["--split", "all"]], ids=str)
def test_a_missing_cell_gets_the_mean_of_the_runs_training_part(tmp_path: Path, capsys, monkeypatch, arguments) -> None:
    """Not that of the data that are measured, nor of all samples."""
    monkeypatch.chdir(tmp_path)
    rows = [f"{'' if i % 3 == 0 else i % 7},{2 * (i % 7) + i % 2}" for i in range(40)]
    (tmp_path / "data.csv").write_text("\n".join(["x,y", *rows]) + "\n")
    (tmp_path / "other.csv").write_text("x,y\n100,200\n,6\n300,600\n")
    section = {"name": "csv", "path": "data.csv", "target": "y", "missing": "mean", "split": {"test": 0.3}}
    folder = go({**changed(LINE, metrics=["mse"]), "precision": "float64", "data": section}, tmp_path / "runs")
    trained = load_run(folder)
    (fill,) = trained.inputs.encoder.columns[0].fill
    split = arguments[1] if arguments[0] == "--split" else None
    found = evaluate_run(trained, split, [] if split else arguments)["all"]["mse"]
    lines = (tmp_path / ("data.csv" if split else "other.csv")).read_text().split()[1:]
    cells = [line.split(",") for line in lines]
    x = np.array([[fill if not a else float(a)] for a, _ in cells])
    y = np.array([[float(b)] for _, b in cells])
    assert found == pytest.approx(np.mean((trained.predict(x) - y) ** 2), rel=1e-9)


@pytest.mark.parametrize("name", ["checkpoints/last.safetensors", "predictions.npz"])
def test_an_export_destroys_no_file_of_a_run(net: Path, name: str, capsys) -> None:
    before = (net / name).read_bytes()
    assert main(["export", str(net), "--to", str(net / name)]) == 2
    assert "is a file of a run" in capsys.readouterr().err
    assert (net / name).read_bytes() == before
    assert main(["export", str(net), "--to", str(net / "weights.npz")]) == 0


def test_other_data_may_lack_categories_and_classes_of_the_run(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [f"{i},{'ABC'[i % 3]},{'low' if i < 15 else 'high'}" for i in range(30)]
    head = "size,city,cost\n"
    Path("all.csv").write_text(head + "\n".join(rows) + "\n")
    Path("few.csv").write_text(head + "3,A,low\n29,C,high\n")
    Path("one.csv").write_text("cost,other,city,size\nhigh,9,B,29\n")
    Path("city.csv").write_text(head + "3,D,low\n")
    Path("class.csv").write_text(head + "3,A,medium\n")
    config = {**NET, "data": {"name": "csv", "path": "all.csv", "target": "cost", "split": {"train": 0.8, "val": 0.2}}}
    trained = load_run(go(config, tmp_path / "runs"))
    logits = trained.predict(np.array([[3.0, 1, 0, 0], [29, 0, 0, 1], [29, 0, 1, 0]]))
    labels = np.array([trained.inputs.class_names.index(each) for each in ("low", "high", "high")])
    right = logits.argmax(axis=1) == labels
    assert evaluate_run(trained, data=["data.path=few.csv"])["all"]["accuracy"] == right[:2].mean()
    assert evaluate_run(trained, data=["data.path=one.csv"])["all"]["accuracy"] == right[2]
    with pytest.raises(UserError, match="column 'city' has 'D', which the data to train with never had"):
        evaluate_run(trained, data=["data.path=city.csv"])
    with pytest.raises(UserError, match="column 'cost' has 'medium', which the data to train with never had"):
        evaluate_run(trained, data=["data.path=class.csv"])


@pytest.mark.parametrize(
    "missing",
    ["mean", "median", "drop", {"x": "median", "c": "category"}, {"x": 3, "c": "none"}, {"x": "mean", "c": "b"}],
)
def test_cells_that_were_filled_are_no_changed_data(tmp_path: Path, missing: Any) -> None:
    rows = [f"{i % 7 / 3 if i % 5 else ''},{'ab'[i % 2] if i % 4 else ''},2024-0{1 + i % 9}-01,{i % 7}"
            for i in range(60)]  # fmt: skip
    (tmp_path / "data.csv").write_text("x,c,day,y\n" + "\n".join(rows) + "\n")
    data = {"name": "csv", "path": str(tmp_path / "data.csv"), "target": "y", "missing": missing, "split": {"val": 0.2},
            "dates": {"day": ["month_cycle"]}, "normalize_target": "standardize"}  # fmt: skip
    folder = go({**LINE, "precision": "float64", "data": data}, tmp_path / "runs")
    trained = load_run(folder)
    with np.load(folder / "predictions.npz") as arrays:
        error = arrays["val_y"] - arrays["val_output"]
    assert evaluate_run(trained)["val"]["mse"] == pytest.approx(float((error**2).mean()))
    (tmp_path / "data.csv").write_text("x,c,day,y\n" + "\n".join(rows[:-1]) + "\n1,a,2024-01-01,9\n")
    with pytest.raises(UserError, match="changed since this run was trained"):
        evaluate_run(trained)


def test_missing_cells_of_other_data_go_by_the_runs_rules(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [f"{i % 7 or ''},{'AB'[i % 2] if i % 5 else ''},{('low' if i % 7 < 4 else 'high') if i % 11 else ''}"
            for i in range(60)]  # fmt: skip
    Path("all.csv").write_text("size,city,cost\n" + "\n".join(rows) + "\n")
    Path("few.csv").write_text("size,city,cost\n,,\n6,A,high\n")
    rules = {"size": "median", "city": "category", "cost": "category"}
    data = {"name": "csv", "path": "all.csv", "target": "cost", "missing": rules, "split": {"val": 0.2}}
    trained = load_run(go({**NET, "data": data}, tmp_path / "runs"))
    assert trained.inputs.class_names == ["high", "low", "missing"]
    assert trained.inputs.encoder.feature_names == ("size", "city=A", "city=B", "city=missing")
    (median,) = trained.inputs.encoder.columns[0].fill
    logits = trained.predict(np.array([[median, 0, 0, 1], [6, 1, 0, 0]]))
    np.testing.assert_array_equal(trained.inputs.read(",")[0], [median, 0, 0, 1])
    found = evaluate_run(trained, data=["data.path=few.csv"])["all"]["accuracy"]
    assert found == (logits.argmax(axis=1) == [2, 0]).mean()


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.ones((0, 2)), "holds no samples"),
        (np.ones((3, 2, 1)), "got inputs of shape"),
        (np.ones((3, 2), complex), "got inputs of shape .*complex128"),
        (np.full((3, 2), np.nan), "not a finite number"),
        (np.full((3, 2), 1e300), "input 1: the model's answer is no finite number: too large for float32"),
    ],
)
def test_what_a_model_cannot_take_is_one_clear_error(net: Path, x: np.ndarray, message: str) -> None:
    trained = load_run(net)
    with pytest.raises(UserError, match=message):
        trained.predict(x)
    whole = trained.predict(np.array([[1, 2]]))
    np.testing.assert_array_equal(whole, trained.predict(np.array([[1.0, 2.0]])))
