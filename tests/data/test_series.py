"""Series of numbers from long tables and arrays: what becomes a sample, what its targets are, what is refused."""

import warnings
from pathlib import Path

import numpy as np
import pytest

from dlcourse import cli, registry
from dlcourse.data import prepare
from dlcourse.errors import ConfigError, DataError
from dlcourse.experiment import evaluate_run, load_run, run
from dlcourse.plots.gallery import open_view, plots
from dlcourse.training.input_spec import InputSpec


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(path: str, **parameters):
    return registry.build("data", {"name": "series", "path": path, **parameters}).load(0)


def silently(path: str, **parameters):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return load(path, **parameters)


def table(rows: list[str], header: str = "id,t,a,y") -> str:
    Path("s.csv").write_text("\n".join([header, *rows, ""]))
    return "s.csv"


def arrays(**given: np.ndarray) -> str:
    np.savez("s.npz", **given)
    return "s.npz"


BY_ID = {"id": "id", "time": "t", "target": "y"}


def test_rows_become_series_in_the_order_of_time() -> None:
    data = silently(table(["q,2,4,1", "p,10,3,0", "q,1,5,1", "p,9,2,0"]), **BY_ID)
    assert data.x.tolist() == [[[5], [4]], [[2], [3]]] and data.y.tolist() == [[1], [0]]  # one target a series
    assert data.task == "regression" and data.feature_names == ("a",) and data.target_name == "y"


def test_targets_that_change_are_those_of_steps() -> None:
    rows = ["p,1,2,0", "p,2,3,7", "q,1,4,1", "q,2,5,1"]
    assert silently(table(rows), **BY_ID).y.tolist() == [[[0], [7]], [[1], [1]]]
    assert silently(table(rows[2:] + ["r,1,1,1", "r,2,1,1"]), **BY_ID, per="step").y.shape == (2, 2, 1)
    with pytest.raises(DataError, match=r"s.csv, row 3: series 'p' has another target here than at its first step"):
        load(table(rows), **BY_ID, per="series")


def test_texts_are_classes_and_features_may_be_categories() -> None:
    data = silently(table(["p,1,red,up", "p,2,blue,down", "q,1,red,up", "q,2,red,up"]), **BY_ID)
    assert data.task == "classification" and data.class_names == ("down", "up")
    assert data.y.tolist() == [[1, 0], [1, 1]]
    assert data.feature_names == ("a=blue", "a=red") and data.x[0].tolist() == [[0, 1], [1, 0]]
    numbers = silently(table(["p,1,1,3", "p,2,1,3", "q,1,1,5", "q,2,1,5"]), **BY_ID, task="classification")
    assert numbers.class_names == ("3", "5") and numbers.y.tolist() == [0, 1]


def test_a_horizon_forecasts_and_windows_lie_side_by_side() -> None:
    path = table([f"{t},{t},{10 * t}" for t in range(8)], "t,a,y")
    data = silently(path, time="t", target="y", horizon=2, window=2)
    assert data.feature_names == ("a", "y")
    assert data.x[:, :, 0].tolist() == [[0, 1], [2, 3], [4, 5]] and (data.x[:, :, 1] == 10 * data.x[:, :, 0]).all()
    assert data.y[:, :, 0].tolist() == [[20, 30], [40, 50], [60, 70]]
    data = silently(path, time="t", target="y", features=["y"], horizon=1, window=3)
    assert data.x[:, :, 0].tolist() == [[10, 20, 30], [40, 50, 60]]  # what is left at the beginning is left out
    assert data.y[:, :, 0].tolist() == [[20, 30, 40], [50, 60, 70]]


def test_of_series_with_one_target_the_last_window_is_taken() -> None:
    rows = [*(f"p,{t},{t},1" for t in range(3)), *(f"q,{t},{t},2" for t in range(5))]
    data = silently(table(rows), **BY_ID, window=2)
    assert data.x[:, :, 0].tolist() == [[1, 2], [3, 4]] and data.y.tolist() == [[1], [2]]


def test_times_may_be_dates_and_gaps_are_said() -> None:
    rows = ["p,2024-02-01,1,0", "p,2023-12-01,2,0", "p,2024-01-01,3,0", "q,2024-01-01,4,0", "q,2024-02-01,5,0"]
    assert silently(table(rows), **BY_ID, window=2).x[:, :, 0].tolist() == [[3, 1], [4, 5]]
    with pytest.warns(UserWarning, match=r"s.csv: the times of 'p' are not evenly spaced"):
        load(table([row for row in rows if "p,2024-01" not in row] + ["p,2024-09-30,1,0"]), **BY_ID, window=2)


@pytest.mark.parametrize(
    ("rows", "more", "message"),
    [
        (
            ["p,1,1,1", "p,2,1,1", "q,1,1,1"],
            {},
            "series differ in length: series 'p' has 2 steps, series 'q' 1; data.w",
        ),
        (["p,1,1,1", "q,1,1,1"], {"window": 2}, "series 'p' has 1 step, too few for data.window 2"),
        (["p,1,1,1", "q,1,1,1"], {"horizon": 1}, "series 'p' has 1 step, too few for one step with a target and data"),
        (["p,1,1,1", "p,1,1,1"], {}, "row 3: the time '1' of 'p' is there twice"),
        (["p,1,1,1", "p,2,1,1", "p,x,1,1"], {}, "row 4: column 't' has 'x' where a number is expected"),
        (["p,01/02/03,1,1", "p,02/02/03,1,1"], {}, "row 2: column 't' has '01/02/03' where a time is expected"),
        (["p,1,1,1", "p,,1,1"], {}, "row 3: column 't' has no time"),
        (["p,1,1,1", ",1,1,1"], {}, "row 3: column 'id' names no series"),
        (["p,1,,1", "q,1,1,1"], {}, "row 2: column 'a' has a missing cell; fill it, or leave the row out"),
        (["p,1,1,1", "q,1,1,"], {}, "row 3: column 'y' has a missing cell"),
        (["p,1,1,1", "p,2,1,1"], {"id": None, "features": ["a"]}, "s.csv is one series of 2 steps, so one sample; dat"),
        (["p,1,1,1", "q,1,1,1"], {"id": "di"}, "s.csv has no column 'di'; its columns: 'id'"),
        (["p,1,1,1", "q,1,1,1"], {"units": {"z": "m"}}, "s.csv has no column 'z'"),
    ],
)
def test_a_table_that_holds_no_such_series_is_refused(rows, more, message) -> None:
    path = table(rows)
    with pytest.raises(DataError, match=message):
        load(path, **{**BY_ID, **more})


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"target": None}, "data.target: name the column to predict"),
        ({"target": "t"}, "data.target: 't' is the column of data.time"),
        ({"features": ["y"]}, "data.features: 'y' is the target and cannot be a feature; data.horizon: 1 predicts"),
        ({"features": ["id"]}, "data.features: 'id' names the series"),
        ({"horizon": 1, "per": "series"}, "data.horizon: later targets are targets at every step"),
        ({"delimiter": ";;"}, "data.delimiter: expected one character"),
        ({"class_names": ["a"]}, "data.class_names: are those in the target's cells"),
        ({"path": "s.npz"}, "data.id: names columns of a csv file, and s.npz holds arrays"),
        ({"target": ["y", "a"], "task": "classification"}, "data.target: each of several targets has to be numbers"),
        ({"target": "c", "task": "regression"}, "data.task: the target 'c' holds text"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(parameters, message) -> None:
    table(["p,1,1,1,u", "q,1,1,1,v"], "id,t,a,y,c")
    with pytest.raises(ConfigError, match=message):
        load(**{"path": "s.csv", **BY_ID, **parameters})


def test_arrays_have_targets_of_series_or_of_steps_by_their_shape() -> None:
    x = np.arange(24.0).reshape(4, 3, 2)
    assert silently(arrays(x=x, y=np.arange(4.0))).y.shape == (4, 1)
    assert silently(arrays(x=x, y=np.ones((4, 2)))).y.shape == (4, 2)
    assert silently(arrays(x=x, y=np.ones((4, 3)))).y.shape == (4, 3, 1)
    assert silently(arrays(x=x, y=np.ones((4, 3))), per="series").y.shape == (4, 3)
    assert silently(arrays(x=x, y=np.ones((4, 3, 5)))).y.shape == (4, 3, 5)
    labels = silently(arrays(x=x, y=np.arange(12).reshape(4, 3) % 2), class_names=["off", "on"])
    assert labels.y.shape == (4, 3) and labels.task == "classification" and labels.class_names == ("off", "on")
    one = silently(arrays(x=x[:, :, 0], y=np.array(["a", "b", "a", "b"])))
    assert one.x.shape == (4, 3, 1) and one.class_names == ("a", "b") and one.y.tolist() == [0, 1, 0, 1]
    ahead = silently(arrays(x=x), horizon=1)
    assert (ahead.x == x[:, :2]).all() and (ahead.y == x[:, 1:]).all()
    cut = silently(arrays(x=x, y=np.arange(12.0).reshape(4, 3), x_test=x[:1], y_test=np.ones((1, 3))), window=1)
    assert cut.x.shape == (12, 1, 2) and cut.y[:, 0, 0].tolist() == list(range(12)) and cut.test[0].shape == (3, 1, 2)
    last = silently(arrays(x=x, y=np.arange(4.0)), window=2)
    assert (last.x == x[:, 1:]).all() and last.y[:, 0].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("given", "more", "message"),
    [
        ({"y": np.ones(2)}, {}, "has no array 'x'"),
        ({"x": np.ones((2, 3, 1))}, {}, "has no array 'y'; it holds x; data.horizon: 1 forecasts x itself"),
        ({"x": np.ones(3), "y": np.ones(3)}, {}, r"x is float64 of shape \(3,\), expected numbers \(N, T, D\)"),
        ({"x": np.ones((2, 3)), "y": np.ones(3)}, {}, "y has shape .3,., expected one row for each of 2 series"),
        ({"x": np.ones((2, 3)), "y": np.ones(2)}, {"per": "step"}, r"y has shape \(2,\), expected \(2, 3\)"),
        ({"x": np.ones((2, 3)), "y": np.ones(2)}, {"horizon": 1}, r"y has shape \(2,\), expected \(2, 3\)"),
        ({"x": np.ones((2, 3)), "y": np.ones(2), "x_test": np.ones((1, 3))}, {}, "x_test and y_test go together"),
    ],
)
def test_arrays_that_are_no_series_are_refused(given, more, message) -> None:
    path = arrays(**given)
    with pytest.raises(DataError, match=message):
        load(path, **more)


def test_each_feature_is_scaled_by_its_values_at_all_steps_of_the_training_split() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal([3, -40], [2, 9], (20, 5, 2))
    data = prepare(
        {"name": "series", "path": arrays(x=x, y=x), "split": {"val": 5}, "shuffle": False,
         "normalize": "standardize", "normalize_target": "standardize"}, 0)  # fmt: skip
    train = x[:15].reshape(-1, 2)
    for normalizer in (data.normalizer, data.target_normalizer):
        assert np.allclose(normalizer.shift, train.mean(axis=0)) and np.allclose(normalizer.scale, train.std(axis=0))
    with pytest.raises(ConfigError, match="data.stratify: needs classes"):
        prepare({"name": "series", "path": "s.npz", "stratify": True}, 0)
    labels = arrays(x=x, y=np.arange(100).reshape(20, 5) % 2)
    with pytest.raises(ConfigError, match="data.stratify: needs one class a sample"):
        prepare({"name": "series", "path": labels, "stratify": True}, 0)


TRAIN = {"loss": "mse", "optimizer": {"name": "adam", "lr": 0.02}, "metrics": ["rmse", "r2", "mae"]}


def test_a_forecast_is_trained_measured_and_asked(here, capsys) -> None:
    t = np.arange(400)
    path = table([f"{i},{np.sin(i / 3):.5f}" for i in t], "t,y")
    config = {
        "name": "sine",
        "device": "cpu",
        "data": {"name": "series", "path": path, "time": "t", "target": "y", "horizon": 1, "window": 20,
                 "split": {"val": 0.2}, "shuffle": False, "normalize": "standardize",
                 "normalize_target": "standardize"},
        "model": {"name": "gru", "hidden": 8},
        **TRAIN,
        "train": {"epochs": 25, "batch_size": 4},
    }  # fmt: skip
    result = run(config, out="runs", quiet=True, plots=False)
    assert result.metrics["val"]["r2"] > 0.9
    data = prepare(config["data"], 0)
    error = result.model.eval() and load_run(result.folder).predict(data.splits["val"].x) - data.splits["val"].y
    assert result.metrics["val"]["rmse"] == pytest.approx(np.sqrt((error**2).mean()), rel=1e-4)
    (forecast,) = (plot for plot in plots() if plot.name == "forecast")
    assert forecast.applies(open_view(result.folder))
    trained = load_run(result.folder)
    assert evaluate_run(trained)["val"]["r2"] == pytest.approx(result.metrics["val"]["r2"])
    assert InputSpec.from_json(trained.inputs.to_json()) == trained.inputs

    capsys.readouterr()
    assert cli.main(["predict", str(result.folder), path]) == 0  # the last window, whose last answer is of the future
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 20 and lines[-1].startswith("step 20: y = ")
    assert float(lines[-1].rpartition(" ")[2]) == pytest.approx(np.sin(400 / 3), abs=0.3)
    table(["1,0.5"], "t,y")
    assert cli.main(["predict", str(result.folder), path]) == 2
    assert "s.csv: the file has 1 step, expected a csv file with the columns t, y and at least 20 rows a series" in (
        capsys.readouterr().err
    )
    assert cli.main(["predict", str(result.folder), "0.5"]) == 2
    assert "expected a csv file with the columns t, y" in capsys.readouterr().err


@pytest.mark.parametrize("per", ["series", "step"])
def test_classes_are_learned_of_series_and_of_steps(per) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 8, 2)).astype("float32")
    y = (x[:, -1, 0] > 0).astype(int) if per == "series" else (x[:, :, 0] > 0).astype(int)
    config = {
        "name": "signs",
        "device": "cpu",
        "data": {"name": "series", "path": arrays(x=x, y=y), "split": {"test": 10}},
        "model": {"name": "rnn", "hidden": 8},
        "loss": "cross_entropy",
        "optimizer": {"name": "adam", "lr": 0.05},
        "metrics": ["accuracy"],
        "train": {"epochs": 15, "batch_size": 10},
    }
    result = run(config, out="runs", quiet=True, plots=False)
    assert result.metrics["test"]["accuracy"] >= 0.9
    answer = load_run(result.folder).predict(x[:3])
    assert answer.shape == ((3, 2) if per == "series" else (3, 8, 2))
    assert cli.main(["predict", str(result.folder), "s.npz"]) == 0


def test_a_model_that_answers_once_does_not_learn_targets_of_steps() -> None:
    path = arrays(x=np.ones((6, 4, 1)), y=np.ones((6, 4)))
    config = {
        "device": "cpu",
        "data": {"name": "series", "path": path},
        "model": {"name": "mlp", "hidden": [3]},
        **TRAIN,
    }
    with pytest.raises(
        ConfigError, match="mlp has one output a series, and these data have a target at every step; rnn"
    ):
        run(config, out="runs", quiet=True)
    solved = {**config, "model": "linear", "optimizer": "least_squares", "loss": "half_sse"}
    with pytest.raises(ConfigError, match="least_squares fits one target a series, and these data have a target at ev"):
        run(solved, out="runs", quiet=True)
    np.savez("s.npz", x=np.arange(24.0).reshape(6, 4, 1), y=np.arange(6.0))
    assert run(solved, out="runs", quiet=True, plots=False).metrics["train"]["r2"] > 0.99
    neighbors = {**config, "model": {"name": "knn", "k": 1}, "optimizer": "closed_form", "loss": None}
    np.savez("s.npz", x=np.arange(24.0).reshape(6, 4, 1), y=np.arange(6) % 2)
    neighbors["metrics"] = ["accuracy"]
    assert run(neighbors, out="runs", quiet=True, plots=False).metrics["train"]["accuracy"] == 1
    table_config = {**config, "data": {"name": "westwood_rent"}, "model": "lstm"}
    with pytest.raises(
        ConfigError, match=r"lstm: an input is a sequence \(steps, features\) or an image .*, got \(1,\)"
    ):
        run(table_config, out="runs", quiet=True)
    with pytest.raises(
        ConfigError, match="lstm: an input is a sequence .*, got .8,.; char_rnn and gpt take the tokens"
    ):
        Path("t.txt").write_text("abcd" * 50)
        text = {"name": "text", "path": "t.txt", "context": 8}
        run({**config, "data": text, "model": "lstm", "loss": "cross_entropy", "metrics": []}, out="runs", quiet=True)
