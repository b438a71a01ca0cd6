"""``data.normalize_target``: the model learns a scaled target, and all that a user sees is in the target's own unit."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlcourse.cli import main
from dlcourse.data.normalizer import TargetNormalizer
from dlcourse.errors import CheckpointError, UserError
from dlcourse.experiment import evaluate_run, load_run, run
from dlcourse.plots.figures.loss import Loss
from dlcourse.plots.run_view import RunView
from dlcourse.sweeps import run_sweep
from dlcourse.training.input_spec import InputSpec

from .samples import LINE, NET, changed, same_run

SCALED = {"normalize_target": "standardize"}


@pytest.fixture
def flats(tmp_path: Path) -> Path:
    """A file of flats: the rent lies far from zero, and its spread far from one."""
    rng = np.random.default_rng(0)
    size, rooms = rng.uniform(30, 120, 80), rng.integers(1, 6, 80)
    rent = 1e6 + 2000 * size + 500 * rooms**2 + rng.normal(0, 3000, 80)
    rows = [f"{s:.2f},{r},{y:.1f}" for s, r, y in zip(size, rooms, rent, strict=True)]
    path = tmp_path / "flats.csv"
    path.write_text("\n".join(["size,rooms,rent", *rows]) + "\n")
    return path


def config(flats: Path, **sections: Any) -> dict[str, Any]:
    data = {"name": "csv", "path": str(flats), "target": "rent", "units": {"rent": "dollars"},
            "split": {"val": 0.2, "test": 0.2}, "normalize": "standardize", **SCALED}  # fmt: skip
    optimizer = {"name": "adam", "lr": 0.01}
    net = {"model": {"name": "mlp", "hidden": [16]}, "loss": "mse", "optimizer": optimizer, "metrics": ["r2", "rmse"]}
    return changed({**NET, "train": {"epochs": 30, "batch_size": 16}, **net, "data": data}, **sections)


def go(config: dict[str, Any], out: Path, **options: Any) -> Any:
    return run(config, out=out, quiet=True, plots=False, **options)


def test_a_net_learns_it_and_everything_is_in_dollars(flats: Path, tmp_path: Path, capsys) -> None:
    result = go(config(flats), tmp_path / "runs")
    plain = go(changed(config(flats), data={"normalize_target": "none"}), tmp_path / "runs")
    assert result.metrics["test"]["r2"] > 0.9 > 0 > plain.metrics["test"]["r2"]
    assert 3000 < result.metrics["test"]["rmse"] < 20_000
    losses = [event["loss"] for event in result.history if event["event"] == "train"]
    assert losses[-1] < 0.2, "the loss is of the scaled target"
    with np.load(result.folder / "predictions.npz") as arrays:
        error = arrays["test_y"] - arrays["test_output"]
        assert result.metrics["test"]["rmse"] == pytest.approx(float(np.sqrt((error**2).mean())))
        assert abs(arrays["test_output"] - 1.15e6).max() < 2e5
    trained = load_run(result.folder)
    assert trained.predict(np.array([[60.0, 2]])) == pytest.approx(1.122e6, rel=0.02)
    assert main(["predict", str(result.folder), "60,2"]) == 0
    messages = capsys.readouterr().out
    assert messages.startswith("rent = 1.1") and messages.endswith("dollars\n")
    assert evaluate_run(trained) == result.metrics
    assert main(["evaluate", str(result.folder)]) == 0 and "rmse [dollars]" in capsys.readouterr().out
    assert "of the standardized target" in Loss().draw(RunView(result.folder))[1]


def test_new_data_are_scaled_by_the_runs_statistics(flats: Path, tmp_path: Path) -> None:
    trained = load_run(go(config(flats), tmp_path / "runs").folder)
    few = tmp_path / "few.csv"
    few.write_text("\n".join(flats.read_text().splitlines()[:4]) + "\n")
    found = evaluate_run(trained, data=[f"data.path={few}"])["all"]["rmse"]
    rows = np.loadtxt(few, delimiter=",", skiprows=1)
    error = rows[:, 2:] - trained.predict(rows[:, :2])
    assert found == pytest.approx(float(np.sqrt((error**2).mean())))


def test_statistics_are_of_the_training_split(flats: Path, tmp_path: Path) -> None:
    folder = go(changed(config(flats), data={"shuffle": False}, train={"epochs": 1}), tmp_path / "runs").folder
    rent = np.loadtxt(flats, delimiter=",", skiprows=1)[:48, 2]
    inputs = load_run(folder).inputs
    assert inputs.target_shift == pytest.approx([rent.mean()]) and inputs.target_scale == pytest.approx([rent.std()])


@pytest.mark.parametrize(
    ("model", "optimizer"),
    [
        ("linear", "least_squares"),
        ("linear", {"name": "least_squares", "ridge": 3.0}),
        ({"name": "polynomial", "degree": 3}, {"name": "least_squares", "ridge": 0.1}),
        ("gaussian_regression", "closed_form"),
    ],
)
def test_closed_forms_give_the_same_with_and_without(model: Any, optimizer: Any, flats: Path, tmp_path: Path) -> None:
    metrics = ["rmse", "r2", *(["gaussian_nll"] if optimizer == "closed_form" else [])]
    given = config(flats, model=model, optimizer=optimizer, loss=None, metrics=metrics, precision="float64", train={})
    given["model"], given["optimizer"] = model, optimizer
    given["train"] = {"epochs": 1}
    scaled, plain = (go(changed(given, data={"normalize_target": how}), tmp_path) for how in ("standardize", "none"))
    for split, values in plain.metrics.items():
        assert scaled.metrics[split] == pytest.approx(values, rel=1e-6)
    assert scaled.estimates == pytest.approx(plain.estimates, rel=1e-6) and plain.estimates


def test_gradient_descent_on_a_line_says_its_slope_in_raw_units(flats: Path, tmp_path: Path) -> None:
    given = config(flats, optimizer={"name": "sgd", "lr": 0.3}, train={"epochs": 200, "batch_size": "full"})
    given["model"] = "linear"
    found = go(given, tmp_path).estimates
    assert found["slope[size]"] == pytest.approx(2000, rel=0.03)


def test_the_loss_as_a_metric_is_that_of_training(flats: Path, tmp_path: Path, capsys) -> None:
    given = config(flats, train={"batch_size": "full", "epochs": 3, "log_every": 1})
    given["metrics"] = []
    result = run(given, out=tmp_path, plots=False)
    assert "the loss mse is that of the standardized target" in capsys.readouterr().out
    evaluations = [event["metrics"]["train"]["loss"] for event in result.history if event["event"] == "eval"]
    losses = [event["loss"] for event in result.history if event["event"] == "train"]
    assert losses[1:] == pytest.approx(evaluations[:2], rel=1e-5)
    assert evaluate_run(load_run(result.folder))["train"]["loss"] == pytest.approx(evaluations[-1])


def test_means_with_a_spread_are_restored(tmp_path: Path, flats: Path) -> None:
    given = config(flats, train={"epochs": 60})
    given |= {"model": "gaussian_regression", "loss": "gaussian_nll", "metrics": ["rmse", "gaussian_nll"]}
    result = go(given, tmp_path)
    assert 2000 < result.estimates["sigma"] < 8000
    found = load_run(result.folder).predict(np.array([[60.0, 2]]))
    assert np.exp(found[0, 1]) == pytest.approx(result.estimates["sigma"], rel=1e-4)


def test_a_resumed_run_ends_bit_for_bit_as_one_that_never_stopped(flats: Path, tmp_path: Path) -> None:
    given = config(flats, train={"epochs": 4, "checkpoint_every": 3})
    whole = go(given, tmp_path / "whole").folder
    part = go(changed(given, train={"epochs": 2}), tmp_path / "part").folder
    run(resume=part, overrides={"train.epochs": 4}, quiet=True, plots=False)
    same_run(whole, part)


def test_a_target_far_from_zero_keeps_its_digits_in_float32(tmp_path: Path) -> None:
    x = np.linspace(0, 1, 50)
    path = tmp_path / "far.npz"
    np.savez(path, x=x, y=1e9 + 3 * x)
    given = changed(LINE, data={"name": "arrays", "path": str(path), **SCALED}, metrics=["rmse", "r2"])
    found = go(given, tmp_path / "runs")
    assert found.metrics["train"]["r2"] > 0.999999 and found.metrics["train"]["rmse"] < 1e-3


def test_stacked_points_have_the_same_numbers(tmp_path: Path) -> None:
    given = changed(LINE, data=SCALED, precision="float64", metrics=["rmse", "r2"], loss=None)
    given |= {"model": {"name": "polynomial", "degree": 1}, "sweep": {"grid": {"model.degree": [1, 2, 3]}}}
    stacked, single = (
        run_sweep(given, out=tmp_path / str(how), quiet=True, plots=False, stack=how) for how in (True, False)
    )
    for one, other in zip(stacked.points, single.points, strict=True):
        assert one.metrics == pytest.approx(other.metrics, rel=1e-8) and "test.r2" in one.metrics


def test_weights_of_another_unit_are_said(flats: Path, tmp_path: Path, capsys) -> None:
    before = go(config(flats, train={"epochs": 1}), tmp_path).folder
    given = config(flats, data={"normalize_target": "none"}, train={"epochs": 1, "init_from": str(before)})
    run(given, out=tmp_path, plots=False)
    messages = "was trained with targets normalized, and here they come as they are"
    assert messages in capsys.readouterr().out
    file = tmp_path / "weights.npz"
    assert (
        main(["export", str(before), "--to", str(file)]) == 0 and "target_normalizer.scale" in capsys.readouterr().out
    )
    with np.load(file) as arrays:
        assert arrays["target_normalizer.shift"] == pytest.approx(load_run(before).inputs.target_shift)
    run(changed(given, train={"init_from": str(file)}), out=tmp_path, plots=False)
    assert messages in (out := capsys.readouterr().out) and "not used" not in out


def test_overfitting_a_batch_is_judged_in_the_targets_unit(flats: Path, tmp_path: Path, capsys) -> None:
    found = run(config(flats, optimizer={"lr": 0.03}), overfit_batch=True)
    assert "memorized the first batch (16 samples)" in (messages := capsys.readouterr().out)
    assert "of a spread of" in messages and 100 < found.metrics["train"]["rmse"] < 20_000


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (changed(NET, data=SCALED), "data.normalize_target: scales the numbers of a regression, and these targets are"),
        (changed(LINE, data={"normalize_target": "minmax"}), "data.normalize_target: expected none or standardize"),
        ({**changed(LINE, data=SCALED), "model": "knn", "optimizer": "closed_form"}, "knn is for classification"),
    ],
)
def test_what_cannot_be_is_refused(config: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        go(config, tmp_path)


def test_a_checkpoint_that_says_something_else_is_refused(flats: Path, tmp_path: Path) -> None:
    state = load_run(go(config(flats, train={"epochs": 1}), tmp_path).folder).inputs.to_json()
    assert InputSpec.from_json(json.loads(json.dumps(state))).target_normalizer is not None
    for wrong in ({"target_scale": None}, {"target_scale": [0.0]}, {"target_scale": [1.0, 2.0]}):
        with pytest.raises(CheckpointError, match="data.target_scale: expected"):
            InputSpec.from_json(state | wrong)


def test_restoring_undoes_scaling() -> None:
    y = np.random.default_rng(0).normal(5, 3, (20, 2))
    targets = TargetNormalizer.fit(y)
    z = targets.apply(y, np.float32)
    assert z.dtype == np.float32 and abs(z.mean(axis=0)).max() < 1e-6
    np.testing.assert_allclose(targets.restore(targets.scaled(y)), y, rtol=1e-14)
    spread = np.concatenate([y, np.log([[2.0, 4.0]] * 20)], axis=1)
    np.testing.assert_allclose(targets.restore(targets.scaled(spread)), spread, rtol=1e-14)
    np.testing.assert_allclose(targets.scaled(spread)[:, 2:], np.log([2.0, 4.0] / targets.scale) * np.ones((20, 1)))
    assert TargetNormalizer.fit(np.full((4, 1), 7.0)).restore(np.zeros((1, 1))) == 7
