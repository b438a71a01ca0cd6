"""``ensemble: 5``: the members, their average, and what the folder answers."""

import json

import numpy as np
import pytest

from dlcourse import cli, config
from dlcourse.data import prepare
from dlcourse.errors import ConfigError, UserError
from dlcourse.experiment import evaluate_run, load_run, run
from dlcourse.experiment.ensemble import average
from dlcourse.sweeps import expand, run_sweep

SPIRALS = {
    "name": "arms",
    "device": "cpu",
    "data": {"name": "spirals", "samples": 90, "normalize": "standardize", "split": {"val": 0.3, "test": 0.3}},
    "model": {"name": "mlp", "hidden": [8]},
    "loss": "cross_entropy",
    "optimizer": {"name": "adam", "lr": 0.01},
    "metrics": ["accuracy", "cross_entropy"],
    "train": {"epochs": 2, "batch_size": 16},
    "ensemble": 3,
}
CURVE = {
    **SPIRALS,
    "data": {"name": "polynomial_curve", "samples": 60, "normalize_target": "standardize", "split": {"test": 0.3}},
    "loss": "mse",
    "metrics": ["mse"],
    "ensemble": {"size": 2, "bagging": True},
}


def softmax(z: np.ndarray) -> np.ndarray:
    odds = np.exp(z - z.max(axis=-1, keepdims=True))
    return odds / odds.sum(axis=-1, keepdims=True)


@pytest.fixture(scope="module")
def arms(tmp_path_factory: pytest.TempPathFactory):
    return run_sweep(SPIRALS, out=tmp_path_factory.mktemp("runs"), quiet=True)


@pytest.fixture(scope="module")
def curve(tmp_path_factory: pytest.TempPathFactory):
    return run_sweep(CURVE, out=tmp_path_factory.mktemp("runs"), quiet=True, plots=False)


def test_an_ensemble_averages_the_probabilities_of_its_models(arms) -> None:
    trained = load_run(arms.folder)
    x = np.random.default_rng(0).normal(size=(20, 2))
    logits = [load_run(arms.folder / point.folder).predict(x) for point in arms.points]
    assert len({each.tobytes() for each in logits}) == 3
    np.testing.assert_allclose(np.exp(trained.predict(x)), np.mean([*map(softmax, logits)], axis=0), rtol=1e-5)
    assert trained.metrics == evaluate_run(trained)
    assert "average of 3 models" in trained.where


def test_the_record_has_each_model_and_all(arms) -> None:
    (found,) = json.loads((arms.folder / "sweep.json").read_text())["ensembles"]
    assert found == arms.ensembles[0] and found["points"] == [point.id for point in arms.points]
    assert found["growing"][-1] == found["metrics"] and len(found["growing"]) == 3
    first = arms.points[0].metrics
    assert found["growing"][0] == pytest.approx({key: first[key] for key in found["growing"][0]}, rel=1e-5)
    assert (arms.folder / "plots" / "ensemble.png").is_file()
    log = (arms.folder / "log.txt").read_text()
    assert "mean of 3" in log and "ensemble of 3: test accuracy" in log


def test_members_share_the_split_and_the_statistics(arms) -> None:
    records = [json.loads((arms.folder / point.folder / "result.json").read_text()) for point in arms.points]
    assert records[0]["data"] == records[1]["data"] == records[2]["data"]
    assert [point.overrides for point in arms.points] == [{"train.seed": seed} for seed in range(3)]


def test_the_first_member_is_the_run_without_the_ensemble(arms, tmp_path) -> None:
    alone = run({**SPIRALS, "ensemble": None}, out=tmp_path, quiet=True, plots=False)
    assert alone.metrics["test"]["cross_entropy"] == arms.points[0].metrics["test.cross_entropy"]


def test_a_bagged_regression_averages_outputs_in_the_targets_unit(curve) -> None:
    trained, x = load_run(curve.folder), np.linspace(0, 1, 7)[:, None]
    outputs = [load_run(curve.folder / point.folder).predict(x) for point in curve.points]
    np.testing.assert_allclose(trained.predict(x), np.mean(outputs, axis=0), rtol=1e-6)
    assert evaluate_run(trained)["test"]["mse"] == pytest.approx(curve.ensembles[0]["metrics"]["test.mse"], rel=1e-6)
    with pytest.raises(UserError, match="several models have no weights"):
        trained.export(curve.folder / "weights.npz")


def test_a_bootstrap_draws_from_the_training_split_with_replacement() -> None:
    section = {"name": "spirals", "samples": 3000, "split": {"test": 0.5}}
    plain, first, second = (prepare({**section, "bootstrap": seed}, 0) for seed in (None, 1, 2))
    assert plain.to_train_on is plain.splits["train"]
    drawn = first.to_train_on
    assert len(drawn) == 1500 and set(drawn.index) <= set(plain.splits["train"].index)
    assert len(np.unique(drawn.index)) / 1500 == pytest.approx(1 - np.exp(-1), abs=0.03)
    assert not np.array_equal(drawn.index, second.to_train_on.index)
    np.testing.assert_array_equal(first.splits["train"].x, plain.splits["train"].x)
    whole = plain.splits["train"]
    np.testing.assert_array_equal(drawn.x, whole.x[np.searchsorted(whole.index, drawn.index)])


def test_images_of_a_bootstrap_are_those_that_were_drawn() -> None:
    section = {"name": "synthetic_images", "samples": 40, "image_size": 8, "split": {"test": 0.5}, "bootstrap": 3}
    data = prepare(section, 0)
    drawn = data.to_train_on
    np.testing.assert_array_equal(np.asarray(drawn.x), data.dataset.x[drawn.index])
    np.testing.assert_array_equal(drawn.y, data.dataset.y[drawn.index])


def test_each_setting_of_a_grid_has_an_ensemble_and_a_resumed_one_is_the_same(tmp_path) -> None:
    given = {**SPIRALS, "ensemble": 2, "sweep": {"grid": {"train.l2": [0.0, 0.1]}}}
    result = run_sweep(given, out=tmp_path, quiet=True, plots=False)
    assert [each["overrides"] for each in result.ensembles] == [{"train.l2": 0.0}, {"train.l2": 0.1}]
    again = run_sweep(resume=result.folder, quiet=True, plots=False)
    assert again.ensembles == result.ensembles
    best = max(result.ensembles, key=lambda each: each["metrics"]["val.accuracy"])
    assert load_run(result.folder).metrics["val"]["accuracy"] == best["metrics"]["val.accuracy"]


def test_a_config_writes_the_ensemble_out_and_reads_it_back() -> None:
    found = config.from_mapping({**SPIRALS, "seed": 7, "ensemble": {"size": 2, "bagging": True}})
    assert [point.overrides for point in expand(found)] == [
        {"train.seed": 7, "data.bootstrap": 7},
        {"train.seed": 8, "data.bootstrap": 8},
    ]
    again = config.from_mapping(found.data).data
    assert {key: again[key] for key in ("ensemble", "sweep", "train")} == {
        key: found.data[key] for key in ("ensemble", "sweep", "train")
    }
    assert config.from_mapping(SPIRALS).data["ensemble"] == {"size": 3, "bagging": False}
    assert all(point.config.data["ensemble"] is None for point in expand(found))


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"ensemble": 1}, "ensemble: expected a whole number of at least 2"),
        ({"ensemble": {"size": 3, "baging": True}}, "unknown key .did you mean 'bagging'"),
        ({"ensemble": {"bagging": True}}, "ensemble.size: required"),
        ({"sweep": {"seeds": 3}}, "sweep.seeds: does not combine with ensemble"),
        ({"sweep": {"kfold": 3}}, "sweep.kfold: does not combine with ensemble"),
        ({"sweep": {"grid": {"ensemble": [2, 3]}}}, "cannot vary its own section"),
        ({"optimizer": "closed_form", "model": "gaussian_classifier", "loss": None}, "all members would be one model"),
        (
            {"ensemble": {"size": 2, "bagging": True}, "data": {**SPIRALS["data"], "bootstrap": 1}},
            "draws the members' samples",
        ),
        ({"data": {"name": "gaussian_samples"}, "model": "gaussian_estimators"}, "averages predictions"),
    ],
)
def test_what_cannot_be_averaged_is_refused(changed, message) -> None:
    with pytest.raises(ConfigError, match=message):
        config.from_mapping({**SPIRALS, **changed})


def test_the_keys_of_an_ensemble_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", "ensemble"]) == 0
    assert "bagging" in capsys.readouterr().out


def test_a_seed_varied_twice_is_refused() -> None:
    given = config.from_mapping({**SPIRALS, "sweep": {"grid": {"train.seed": [5, 6]}}})
    with pytest.raises(ConfigError, match=r"ensemble: train.seed is varied by grid already"):
        expand(given)


def test_an_unfinished_ensemble_says_how_to_go_on(arms, tmp_path) -> None:
    state = json.loads((arms.folder / "sweep.json").read_text())
    (tmp_path / "sweep.json").write_text(json.dumps({**state, "ensembles": []}))
    with pytest.raises(UserError, match="not finished: dlcourse sweep --resume"):
        load_run(tmp_path)


def test_the_average_is_finite_where_a_probability_is_nearly_nothing() -> None:
    sure, other = np.array([[0.0, -2000.0]], np.float32), np.array([[0.0, -1000.0]], np.float32)
    np.testing.assert_allclose(average(np.stack([sure, other]), classes=True), [[0.0, -1000 - np.log(2)]], rtol=1e-6)
