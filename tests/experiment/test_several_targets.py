"""Several targets of a csv file: each has its own metrics, unit, panel and prediction."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlcourse.cli import main
from dlcourse.config import metric_facts
from dlcourse.errors import ConfigError
from dlcourse.experiment import evaluate_run, load_run, run
from dlcourse.sweeps import run_sweep

from .samples import changed


@pytest.fixture
def flats(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    size, rooms = rng.uniform(30, 120, 80), rng.integers(1, 6, 80)
    rent, heat = 500 + 10 * size + rng.normal(0, 20, 80), 0.3 * rooms + rng.normal(0, 0.1, 80)
    rows = [f"{s:.2f},{r},{y:.2f},{h:.4f}" for s, r, y, h in zip(size, rooms, rent, heat, strict=True)]
    path = tmp_path / "flats.csv"
    path.write_text("\n".join(["size,rooms,rent,heat", *rows]) + "\n")
    return path


def config(flats: Path, **sections: Any) -> dict[str, Any]:
    data = {"name": "csv", "path": str(flats), "target": ["rent", "heat"], "units": {"rent": "euros", "heat": "MWh"},
            "split": {"val": 0.2, "test": 0.2}, "normalize": "standardize"}  # fmt: skip
    line = {"name": "flats", "device": "cpu", "model": "linear", "optimizer": "least_squares", "loss": "mse"}
    return changed({**line, "data": data, "metrics": ["r2", "rmse"]}, **sections)


def go(config: dict[str, Any], out: Path) -> Any:
    return run(config, out=out, quiet=True, plots=False)


def test_each_has_its_metrics(flats: Path, tmp_path: Path, capsys) -> None:
    result = run(config(flats), out=tmp_path / "runs")
    message = capsys.readouterr().out
    assert "rmse[rent] [euros]" in message and "rmse[heat] [MWh]" in message and "\nrmse  " in message
    found = result.metrics["test"]
    assert list(found) == ["r2", "r2[rent]", "r2[heat]", "rmse", "rmse[rent]", "rmse[heat]"]
    assert found["r2"] == pytest.approx((found["r2[rent]"] + found["r2[heat]"]) / 2)
    assert 10 < found["rmse[rent]"] < 40 and 0.05 < found["rmse[heat]"] < 0.2
    with np.load(result.folder / "predictions.npz") as arrays:
        error = arrays["test_y"] - arrays["test_output"]
    assert found["rmse[heat]"] == pytest.approx(float(np.sqrt((error[:, 1] ** 2).mean())), rel=1e-5)
    assert result.estimates["slope[size][rent]"] == pytest.approx(10, abs=0.5)
    assert evaluate_run(load_run(result.folder)) == result.metrics
    assert main(["predict", str(result.folder), "60,2"]) == 0
    rent, heat = capsys.readouterr().out.strip().split(", ")
    assert rent.startswith("rent = 1") and rent.endswith(" euros")
    assert heat.startswith("heat = 0.") and heat.endswith(" MWh")
    report = (result.folder / "report.html").read_text()
    assert "R² of heat" in report and "off in rent by " in report and "heat by 0." in report
    assert {path.name for path in (result.folder / "plots").glob("*.png")} >= {"predicted.png", "residuals.png"}
    assert main(["evaluate", str(result.folder)]) == 0 and "rmse[heat] [MWh]" in capsys.readouterr().out


def test_one_of_them_can_stop_the_training(flats: Path, tmp_path: Path) -> None:
    given = config(flats, data={"normalize_target": "standardize"})
    given |= {"model": {"name": "mlp", "hidden": [8]}, "optimizer": {"name": "adam", "lr": 0.02}}
    given["train"] = {"epochs": 30, "batch_size": 16, "early_stopping": {"metric": "r2[heat]", "patience": 8}}
    result = go(given, tmp_path)
    assert result.metrics["val"]["r2[heat]"] > 0.5
    given["train"]["early_stopping"]["metric"] = "r2[hat]"
    with pytest.raises(ConfigError, match=r"'r2\[hat\]' is not measured \(did you mean 'r2\[heat\]'"):
        go(given, tmp_path)


def test_a_sweep_is_chosen_by_one_of_them_and_not_stacked(flats: Path, tmp_path: Path) -> None:
    given = config(flats, train={"best": {"metric": "rmse[heat]"}}, precision="float64")
    given |= {"model": {"name": "polynomial", "degree": 1}, "sweep": {"grid": {"model.degree": [1, 2]}}}
    found = run_sweep(given, out=tmp_path, quiet=True, plots=True)
    assert all("val.rmse[heat]" in point.metrics for point in found.points)
    assert main(["sweep", str(next(iter(tmp_path.glob("*/*/config.yaml")))), "--stacked", "--out", str(tmp_path)]) == 0


def test_means_with_spreads_are_judged_by_target(flats: Path, tmp_path: Path) -> None:
    given = config(flats, metrics=["gaussian_nll", "rmse"])
    given |= {"model": "gaussian_regression", "optimizer": "closed_form", "loss": None}
    result = go(given, tmp_path)
    found = result.metrics["train"]
    for name in ("rent", "heat"):
        sigma = result.estimates[f"sigma[{name}]"]
        assert found[f"rmse[{name}]"] == pytest.approx(sigma, rel=1e-4)
        assert found[f"gaussian_nll[{name}]"] == pytest.approx(np.log(sigma) + 0.5 * (np.log(2 * np.pi) + 1), rel=1e-3)


def test_a_batch_is_judged_by_each_target(flats: Path, capsys) -> None:
    given = config(flats, data={"normalize_target": "standardize"}, train={"batch_size": 8})
    given |= {"model": {"name": "mlp", "hidden": [64]}, "optimizer": {"name": "adam", "lr": 0.03}}
    run(given, overfit_batch=True)
    message = capsys.readouterr().out
    assert (
        "\nmemorized the first batch" in message
        and "of a spread of 1, in standard deviations of each target" in message
    )


def test_labels_of_targets_are_words() -> None:
    assert metric_facts("r2[rent]") == {"title": "R² of rent", "unit": "", "higher_is_better": True}
    assert metric_facts("mse[a.b (c)]", "m^2")["title"] == "mean squared error of a.b (c)"
    assert metric_facts("top_k(k=3)")["title"] == "top-k accuracy (k=3)"
