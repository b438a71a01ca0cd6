import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

import dlcourse as dl
from dlcourse import plots
from dlcourse.backend import determinism
from dlcourse.cli import main
from dlcourse.errors import ConfigError, DivergenceError, OutOfMemoryError, UserError
from dlcourse.experiment import load_run, run
from dlcourse.plots.run_view import RunView
from dlcourse.sweeps.point import read_outcome
from dlcourse.training.checkpoints.file_format import read
from dlcourse.training.folder import RunFolder

from .samples import LINE, NET, changed, lines, write


def go(config: dict, out: Path, **options):
    return run(config, out=out, plots=False, quiet=True, **options)


def test_a_metric_that_is_no_number_is_null_in_every_file(tmp_path: Path, capsys) -> None:
    """r2 of a single sample is 0 / 0."""
    result = go(changed(LINE, data={"split": {"val": 1, "test": 0.2}}), tmp_path)
    assert np.isnan(result.metrics["val"]["r2"])
    for name in ("result.json", "metrics.jsonl", "environment.json"):
        assert not re.search(r"NaN|Infinity", (result.folder / name).read_text()), name
    assert RunFolder(result.folder).read_result()["metrics"]["val"]["r2"] is None
    assert result.history == RunFolder(result.folder).read_history()
    assert RunView(result.folder).metrics["val"].keys() == result.metrics["val"].keys()
    assert plots.draw(result.folder)
    assert read_outcome(RunFolder(result.folder).read_result())["metrics"]["val.r2"] is None
    assert main(["compare", str(result.folder), str(result.folder), "--sort", "val.r2"]) == 0
    # One line a run, or one a metric where that is wider than the terminal, as with a long path.
    assert any("-" in line.split() for line in capsys.readouterr().out.splitlines())


@pytest.mark.parametrize("asked", [False, True])
def test_the_environment_says_whether_determinism_was_asked_for(tmp_path: Path, monkeypatch, asked: bool) -> None:
    for name in ("DLCOURSE_DETERMINISTIC", "CUBLAS_WORKSPACE_CONFIG"):
        monkeypatch.setenv(name, "")  # so that it is as before after the test
        monkeypatch.delenv(name)
    arguments = ["run", str(write(tmp_path, LINE)), "--out", str(tmp_path), "--no-plots", "--quiet"]
    assert main(arguments + ["--deterministic"] * asked) == 0
    (environment,) = tmp_path.glob("line/*/environment.json")
    assert json.loads(environment.read_text())["deterministic"] is asked
    assert os.environ.get("CUBLAS_WORKSPACE_CONFIG") == (":4096:8" if asked else None)
    monkeypatch.delenv("DLCOURSE_DETERMINISTIC", raising=False)
    assert main(["run", "--resume", str(environment.parent), "--no-plots"]) == 0  # a run goes on as it began
    assert determinism.demanded() is asked


def test_a_closed_form_and_a_net_leave_the_same_folder(tmp_path: Path) -> None:
    for config in (LINE, changed(NET, train={"epochs": 2})):
        result = go(config, tmp_path)
        folder = RunFolder(result.folder)
        names = {path.name for path in folder.path.iterdir()}
        assert names >= {
            "config.yaml", "environment.json", "metrics.jsonl", "checkpoints", "log.txt", "result.json",
            "predictions.npz",
        }  # fmt: skip
        assert not [name for name in names if name.endswith(".partial")]
        written = folder.read_result()
        assert written["status"] == result.status == "done"
        assert written["metrics"] == result.metrics
        assert set(result.metrics) == {"train", "val", "test"}
        assert written["parameters"] == sum(p.size for p in result.model.parameters())
        assert result.history == folder.read_history()
        assert result.history[-1]["event"] == "final" and result.history[-1]["metrics"] == result.metrics
        for line in result.history:
            assert {"step", "epoch", "samples", "seconds"} <= set(line)


def test_least_squares_on_the_rents_is_numpys(tmp_path: Path) -> None:
    result = go(LINE, tmp_path)
    found = np.load(result.folder / "predictions.npz", allow_pickle=False)
    slope, intercept = np.polyfit(found["train_x"][:, 0], found["train_y"][:, 0], 1)
    assert result.estimates["slope"] == pytest.approx(slope, rel=1e-5)
    assert result.estimates["intercept"] == pytest.approx(intercept, rel=1e-4)
    residuals = found["test_y"] - found["test_output"]
    assert result.metrics["test"]["half_sse"] == pytest.approx((residuals**2).sum() / 2, rel=1e-6)
    facts = json.loads(str(found["facts"]))
    assert facts["task"] == "regression" and facts["model"] == "linear" and facts["metrics"] == LINE["metrics"]
    np.testing.assert_allclose(found["curve_output"], slope * found["curve_x"] + intercept, rtol=1e-4)
    assert found["curve_true"].shape == found["curve_x"].shape


def test_two_features_and_classes_get_a_grid(tmp_path: Path) -> None:
    result = go(changed(NET, train={"epochs": 1}), tmp_path)
    found = np.load(result.folder / "predictions.npz", allow_pickle=False)
    side = found["grid_axes"].shape[1]
    assert found["grid_axes"].shape == (2, side) and found["grid_output"].shape == (side, side, 3)
    # How far each class lies behind the first, at the crossings of the axes, however large the outputs are.
    x = np.stack(np.meshgrid(*found["grid_axes"]), axis=-1).reshape(-1, 2)
    output = load_run(result.folder).predict(x).astype(float)
    behind = (output - output.max(axis=1, keepdims=True)).reshape(side, side, 3)
    np.testing.assert_allclose(found["grid_output"], behind, rtol=2e-3, atol=1e-5)
    assert (result.folder / "predictions.npz").stat().st_size < 90_000  # a sweep has hundreds of them
    assert found["train_x"].shape == (90, 2) and found["train_output"].shape == (90, 3)


def test_the_config_in_the_folder_runs_again_and_gives_the_same(tmp_path: Path) -> None:
    first = go(changed(NET, train={"epochs": 2}), tmp_path)
    again = go(first.folder / "config.yaml", tmp_path)
    assert again.folder != first.folder
    assert lines(again.folder) == lines(first.folder)
    assert yaml.safe_load((first.folder / "config.yaml").read_text())["train"]["batch_size"] == 16


def test_python_and_overrides(tmp_path: Path) -> None:
    short = {"train.epochs": 1}
    result = dl.run(NET, device="cpu", overrides=short, out=tmp_path, name="other", plots=False, quiet=True)
    assert result.folder.parent == tmp_path / "other"
    assert RunFolder(result.folder).read_result()["config_overrides"] == {"train.epochs": 1, "name": "other"}
    assert not result.model.training


def test_the_environment_is_written_down(tmp_path: Path) -> None:
    environment = RunFolder(go(LINE, tmp_path).folder).read_environment()
    assert environment["dlcourse"] == dl.__version__
    assert environment["packages"]["numpy"] == np.__version__
    assert environment["device"] == "cpu" and environment["plugins"] == []
    assert {"python", "platform", "git", "command"} <= set(environment)


@pytest.mark.parametrize("ema", [None, 0.8])
def test_early_stopping_takes_the_best_weights_and_says_so(tmp_path: Path, ema: float | None) -> None:
    stopping = {"metric": "cross_entropy", "patience": 2}
    train = {"epochs": 300, "ema": ema, "early_stopping": stopping}
    result = go(changed(NET, model={"dropout": 0.0, "hidden": [64]}, train=train), tmp_path)
    written = RunFolder(result.folder).read_result()
    evaluations = [line for line in result.history if line["event"] == "eval"]
    values = [line["metrics"]["val"]["cross_entropy"] for line in evaluations]
    best = int(np.argmin(values))
    step = evaluations[best]["step"]
    assert len(values) == best + 3, "two evaluations after the best, then it stops"
    assert written["best"] == {"step": step, "metric": "cross_entropy", "split": "val", "value": values[best]}
    assert written["weights"] == {"from": "best", "step": step}
    assert result.metrics["val"] == evaluations[best]["metrics"]["val"]
    log = (result.folder / "log.txt").read_text()
    assert "stopped early at step" in log and f"metrics of the best weights (step {step}" in log


def test_without_early_stopping_the_last_weights_count_and_the_moving_average_is_what_is_judged(tmp_path: Path) -> None:
    result = go(changed(NET, train={"epochs": 3}), tmp_path)
    found = read(result.folder / "checkpoints/last.safetensors")
    average = found.arrays["train_step.arrays.ema"]
    flat = np.concatenate([p.numpy().reshape(-1) for p in result.model.parameters()])
    np.testing.assert_array_equal(flat, average)
    raw = np.concatenate([array.reshape(-1) for array in found.group("model").values()])
    assert not np.array_equal(raw, average)
    assert RunFolder(result.folder).read_result()["weights"] == {"from": "last", "step": 18}


def test_an_average_over_nothing_changes_nothing(tmp_path: Path) -> None:
    """ema = 0 keeps no memory: evaluation, checkpoints and all else must be those of a run without one."""
    with_it = go(changed(NET, train={"epochs": 2, "ema": 0.0}), tmp_path)
    without = go(changed(NET, train={"epochs": 2, "ema": None}), tmp_path)
    assert with_it.metrics == without.metrics


def test_what_is_watched_but_not_there_is_found_before_training(tmp_path: Path) -> None:
    config = changed(NET, data={"split": {"test": 0.2}}, train={"best": {"metric": "accuracy", "split": "val"}})
    with pytest.raises(ConfigError, match=r"train.best"):
        go(config, tmp_path)
    with pytest.raises(ConfigError, match=r"metrics.0: accuracy is for classification, the data are for regression"):
        go(changed(LINE, metrics=["accuracy"]), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_without_a_validation_part_there_is_no_best(tmp_path: Path) -> None:
    result = go(changed(NET, data={"split": {"test": 0.2}}, train={"epochs": 1}), tmp_path)
    assert RunFolder(result.folder).read_result()["best"] is None
    assert set(result.metrics) == {"train", "test"}


def test_without_metrics_the_loss_is_measured(tmp_path: Path) -> None:
    assert set(go(changed(NET, metrics=[], train={"epochs": 1}), tmp_path).metrics["val"]) == {"loss"}
    watching = changed(NET, train={"epochs": 1, "best": {"metric": "loss", "split": "train"}})
    assert set(go(watching, tmp_path).metrics["val"]) == {"accuracy", "cross_entropy", "loss"}


def test_divergence_names_the_step_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    config = changed(LINE, optimizer={"name": "sgd", "lr": 0.5}, train={"epochs": 200, "checkpoint_every": 1})
    with pytest.raises(DivergenceError, match=r"diverged at step \d+: .* was 0.5 .*a tenth of optimizer.lr") as caught:
        go(config, tmp_path)
    (path,) = (tmp_path / "line").iterdir()
    written = RunFolder(path).read_result()
    assert written["status"] == "diverged" and written["diverged_at"] == caught.value.step
    good = read(path / "checkpoints/last.safetensors")
    assert 0 < good.state["step"] < caught.value.step
    assert all(np.isfinite(array).all() for array in good.arrays.values())


def test_weights_that_are_no_numbers_are_never_saved(tmp_path: Path, monkeypatch) -> None:
    """An update can spoil the weights while its own loss, computed before it, was fine."""
    from dlcourse.optim.adam import Adam

    real = Adam.step

    def step(self):
        real(self)
        if self.steps == 5:
            self.flat.data[0] = np.nan

    monkeypatch.setattr(Adam, "step", step)
    with pytest.raises(DivergenceError, match=r"at step 5: the update made layers.1.weight infinite or not a number"):
        go(changed(NET, train={"checkpoint_every": 1}), tmp_path)
    (path,) = (tmp_path / "net").iterdir()
    assert read(path / "checkpoints/last.safetensors").state["step"] == 4


def test_bad_places_and_names_fail_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="out: an empty name"):
        run(LINE, out="")
    with pytest.raises(UserError, match="cannot be made there"):
        go(LINE, tmp_path / "file")
    with pytest.raises(ConfigError, match="name"):
        go(LINE, tmp_path, name="../../x")
    first = go(LINE, tmp_path)
    with pytest.raises(UserError, match="never overwritten"):
        go(LINE, tmp_path, folder=first.folder)


@pytest.mark.parametrize("when", [0, 2])
def test_out_of_memory_says_the_batch_and_what_is_left(tmp_path: Path, monkeypatch, capsys, when: int) -> None:
    from dlcourse.training.step import TrainStep

    update = TrainStep.update

    def too_large(step: TrainStep, *batch: object) -> object:
        if step.step >= when:
            raise MemoryError("Unable to allocate 12 bytes")
        return update(step, *batch)

    monkeypatch.setattr(TrainStep, "update", too_large)
    config = write(tmp_path, changed(NET, train={"checkpoint_every": 1}))
    assert main(["run", str(config), "--out", str(tmp_path), "--quiet"]) == 1
    saved = "the last checkpoint (step 2) is intact" if when else "no checkpoint was written yet"
    message = (
        f"out of memory after {when} steps with batches of 16 samples: Unable to allocate 12 bytes; {saved}; "
        "lower train.batch_size, or raise train.accumulate, which cuts a batch into parts"
    )
    assert capsys.readouterr().err == f"dlcourse: error: {message}\n"
    (path,) = (tmp_path / "net").iterdir()
    result = RunFolder(path).read_result()
    assert (result["status"], result["error"]) == ("failed", message)
    if when:
        assert read(path / "checkpoints/last.safetensors").state["step"] == 2


def test_out_of_memory_in_a_closed_form_says_what_makes_it_smaller(tmp_path: Path, monkeypatch) -> None:
    from dlcourse.training.closed_form import ClosedFormStep

    def too_large(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(ClosedFormStep, "__call__", too_large)
    with pytest.raises(OutOfMemoryError, match=r"there is no more; no checkpoint.*data\.limit takes fewer$"):
        go(LINE, tmp_path)


def test_out_of_memory_after_the_one_step_of_a_closed_form(tmp_path: Path, monkeypatch) -> None:
    from dlcourse.experiment import experiment

    def too_large(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(experiment.Evaluator, "measure", too_large)
    with pytest.raises(OutOfMemoryError, match="^out of memory after 1 step with batches of "):
        go(LINE, tmp_path)


def test_the_peak_of_the_memory_is_said_and_kept(tmp_path: Path, capsys) -> None:
    result = run(LINE, out=tmp_path, plots=False)
    assert re.search(r"^peak memory: host [0-9.]+ [MG]iB$", capsys.readouterr().out, re.MULTILINE)
    assert RunFolder(result.folder).read_result()["peak_memory"]["host"] > 10 << 20


def test_drawing_may_fail_and_the_run_is_done(tmp_path: Path, monkeypatch, capsys) -> None:
    from dlcourse import plots

    def broken(*_: object) -> None:
        raise ValueError("no such color")

    monkeypatch.setattr(plots, "draw", broken)
    result = run(LINE, out=tmp_path)
    assert RunFolder(result.folder).read_result()["status"] == "done"
    assert "the plots could not be drawn: ValueError: no such color" in capsys.readouterr().out
    ours = UserError("no room for images")
    monkeypatch.setattr("dlcourse.plots.draw", lambda *_: (_ for _ in ()).throw(ours))
    run(LINE, out=tmp_path)
    assert "the plots could not be drawn: no room for images (" in capsys.readouterr().out


def test_what_is_said_is_logged_with_the_time(tmp_path: Path, capsys) -> None:
    result = run(LINE, out=tmp_path, plots=False)
    out = capsys.readouterr().out
    assert "device: cpu" in out and f"run folder: {result.folder}" in out
    assert re.search(r"^ +train +val +test +baseline \(test\)$", out, re.MULTILINE)
    assert re.search(r"^slope +=", out, re.MULTILINE)
    for line in (result.folder / "log.txt").read_text().splitlines():
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", line)
    quiet = run(LINE, out=tmp_path, plots=False, quiet=True)
    assert capsys.readouterr().out == ""
    assert "metrics of the last weights" in (quiet.folder / "log.txt").read_text()


def test_images_and_report_are_drawn_at_the_end(tmp_path: Path) -> None:
    result = run(LINE, out=tmp_path, quiet=True)
    assert list((result.folder / "plots").glob("*.png"))
    assert (result.folder / "report.html").stat().st_size > 10_000


def test_profile_says_where_the_time_goes_and_changes_nothing(tmp_path: Path, capsys) -> None:
    config = changed(NET, train={"epochs": 2})
    plain = go(config, tmp_path)
    timed = run(config, out=tmp_path, plots=False, profile=True)
    assert lines(timed.folder) == lines(plain.folder)
    out = capsys.readouterr().out
    for part in ("data", "forward", "backward", "optimizer", "evaluation", "other"):
        assert re.search(rf"^  {part} +\d+\.\d+ +\d+\.\d %$", out, re.MULTILINE), part
    trace = json.loads((timed.folder / "trace.json").read_text())["traceEvents"]
    assert [event["name"] for event in trace[:5]] == ["data", "forward", "forward", "backward", "optimizer"]


def test_pieces_that_do_not_go_together_are_errors_before_the_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="closed_form cannot fit"):
        go(changed(LINE, optimizer="closed_form"), tmp_path)
    with pytest.raises(UserError, match="has a sweep"):
        go(changed(LINE, sweep={"grid": {"seed": [1, 2]}}), tmp_path)
    assert list(tmp_path.iterdir()) == []


KNN = {**NET, "model": "knn", "loss": None, "optimizer": "closed_form", "train": {}}
TEXT = {"name": "text", "path": __file__, "context": 8}
SAMPLES = {"name": "gaussian_samples"}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (changed(NET, loss="mse"), "loss.name: mse is for regression, the data are for classification"),
        (changed(NET, loss="half_sse"), "loss.name: half_sse is for regression"),
        (changed(LINE, loss="cross_entropy"), "loss.name: cross_entropy is for classification, the data are for regr"),
        (changed(LINE, loss="multiclass_hinge"), "loss.name: multiclass_hinge is for classification"),
        (changed(KNN, optimizer="least_squares"), "optimizer.name: least_squares is for regression, the data are"),
        (changed(KNN, optimizer="adam", loss="cross_entropy"), "optimizer.name: adam trains parameters, and the model"),
        (changed(NET, model="linear"), "model.name: linear is for regression, the data are for classification"),
        (changed(LINE, model="knn"), "model.name: knn is for classification, the data are for regression"),
        (changed(LINE, model="gaussian_estimators"), "model.name: gaussian_estimators is for estimation"),
        (changed(LINE, data=SAMPLES), "model.name: linear is for regression, the data are for estimation"),
        (changed(NET, model="char_rnn"), "model.name: char_rnn looks up the tokens of a text, and the inputs of these"),
        (changed(NET, metrics=["top_k"]), "metrics.0: metric top_k: k = 5 is more than the 3 classes; give a"),
        ({**NET, "data": TEXT}, "model.name: mlp takes numbers, and the inputs of these data are the tokens of a"),
        (changed(LINE, model={"name": "mlp", "hidden": [4]}), "optimizer.name: least_squares cannot fit the model mlp"),
    ],
)
def test_parts_that_are_not_for_these_data_are_named_before_the_folder(
    tmp_path: Path, capsys, config: dict, message: str
) -> None:
    out = tmp_path / "runs"
    assert main(["run", str(write(tmp_path, config)), "--out", str(out)]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("parts", "names"),
    [
        ({"model": "linear"}, ["slope[Size]", "slope[City=A]", "slope[City=B]", "intercept"]),
        (
            {"model": "gaussian_regression", "optimizer": "closed_form", "loss": "gaussian_nll", "metrics": []},
            ["slope[Size]", "slope[City=A]", "slope[City=B]", "intercept", "sigma"],
        ),
    ],
    ids=["linear", "gaussian"],
)
def test_coefficients_carry_the_names_of_the_columns(tmp_path: Path, capsys, parts: dict, names: list[str]) -> None:
    rows = [f"{size},{city},{3 * size + 10 * (city == 'B') + size % 3}" for size in range(30) for city in "AB"]
    (tmp_path / "flats.csv").write_text("\n".join(["Size,City,Rent", *rows]))
    data = {"name": "csv", "path": str(tmp_path / "flats.csv"), "target": "Rent", "split": {"test": 0.2}}
    config = {**LINE, "data": data, **parts}
    estimates = run(config, out=tmp_path, plots=False).estimates
    assert list(estimates) == names
    assert "slope[City=B]" in capsys.readouterr().out
    assert estimates["slope[Size]"] == pytest.approx(3, abs=0.2)
    if parts["model"] == "linear":
        poly = run({**config, "model": {"name": "polynomial", "degree": 2}}, out=tmp_path, plots=False).estimates
        assert "theta[Size]_2" in poly and "theta_0" in poly
