import csv
import json
import math
import shutil
import threading

import numpy as np
import pytest

from dlcourse import config, experiment
from dlcourse.data import prepare
from dlcourse.errors import ChangedDataError, ConfigError, Interrupted, UserError
from dlcourse.sweeps import expand, point, run_sweep
from dlcourse.sweeps.folder import ARRAYS
from dlcourse.training.folder import RunFolder

DIVERGING = {"name": "sgd", "lr": 0.1}
LEARNING_RATES = {"grid": {"optimizer.lr": [0.1, 1e9, 0.01]}}


def quietly(given, out="runs", **options):
    return run_sweep(given, out=out, quiet=True, plots=False, **options)


def run_alone(given, out):
    return experiment.run(given, out=out, quiet=True, plots=False).metrics


def state_of(result):
    return json.loads((result.folder / "sweep.json").read_text())


def test_every_point_is_a_run_of_its_own(make, tmp_path, capsys):
    result = run_sweep(make(), out=tmp_path)
    assert result.exit_code == 0 and result.status == "done"
    assert result.folder.parent == tmp_path / "small"
    assert [each.id for each in result.points] == ["000-degree=1", "001-degree=3", "002-degree=9"]
    for each in result.points:
        run = RunFolder.open(result.folder / each.folder)
        assert run.read_result()["status"] == each.status == "done"
        assert run.read_result()["config_overrides"] == each.overrides
        splits = run.read_result()["metrics"]
        assert {f"{split}.{name}": splits[split][name] for split in splits for name in splits[split]} == each.metrics
        assert not run.plots.exists() or not any(run.plots.iterdir())
    assert (result.folder / "report.html").is_file()
    message = capsys.readouterr().out
    assert f"sweep folder: {result.folder}" in message and "report: " in message
    assert "best by validation mse: model.degree=" in message


def test_a_point_gives_the_numbers_of_the_same_run_by_itself(make, tmp_path):
    result = quietly(make(), tmp_path)
    alone = run_alone(make(sweep=None, model={"name": "polynomial", "degree": 9}), tmp_path)
    assert result.points[2].metrics["test.mse"] == alone["test"]["mse"]


def test_a_point_can_be_run_again_from_its_config(make, tmp_path):
    result = quietly(make(), tmp_path)
    again = run_alone(result.folder / result.points[1].folder / "config.yaml", tmp_path)
    assert again["val"]["mse"] == result.points[1].metrics["val.mse"]


def test_the_best_is_the_least_validation_error(make, tmp_path):
    result = quietly(make(), tmp_path)
    minimum = min(result.points, key=lambda each: each.metrics["val.mse"])
    assert result.best["overrides"] == minimum.overrides
    warned = result.best["metric"], result.best["split"], result.best["value"]
    assert warned == ("mse", "val", minimum.metrics["val.mse"])
    by_r2 = make(train={"best": {"metric": "r2", "split": "train"}}, sweep={"grid": {"optimizer.ridge": [0.0, 10.0]}})
    assert quietly(by_r2, tmp_path).best["overrides"] == {"optimizer.ridge": 0.0}


def test_table_and_csv(make, tmp_path, capsys):
    result = run_sweep(make(), out=tmp_path, plots=False)
    lines = capsys.readouterr().out.splitlines()
    head = next(index for index, line in enumerate(lines) if "degree" in line and "train" in line)
    assert lines[head].split() == ["degree", *["train", "val", "test"] * 2]
    assert [line.split()[0] for line in lines[head + 1 : head + 4]].count("*") == 1
    with open(result.folder / "table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["model.degree"] for row in rows] == ["1", "3", "9"]
    assert float(rows[0]["val.mse"]) == result.points[0].metrics["val.mse"]
    assert rows[0]["folder"] == "points/000-degree=1"


def test_folds_are_averaged(make, tmp_path, capsys):
    result = run_sweep(make(sweep={"grid": {"model.degree": [1, 3]}, "kfold": 4}), out=tmp_path, plots=False)
    assert len(result.points) == 8 and len(result.groups) == 2
    for group in result.groups:
        values = [each.metrics["val.mse"] for each in result.points if each.id in group["points"]]
        assert group["mean"]["val.mse"] == pytest.approx(np.mean(values))
        assert group["se"]["val.mse"] == pytest.approx(np.std(values, ddof=1) / math.sqrt(4))
    assert result.best["overrides"] == {"model.degree": 3} and result.one_standard_error is not None
    assert "simplest within one standard error of the best" in capsys.readouterr().out
    assert (
        (result.folder / "groups.csv")
        .read_text()
        .startswith("model.degree,complete,train.mse.mean,train.mse.sd,train.mse.se,")
    )


def test_folds_share_no_validation_sample(make):
    points = expand(config.from_mapping(make(sweep={"kfold": 5})))
    subsets = [prepare(each.config.data["data"], 0).splits for each in points]
    held_out = np.concatenate([subset["val"].index for subset in subsets])
    assert len(set(held_out)) == len(held_out) == 48  # 60 less the test split's 12
    assert len({tuple(subset["test"].index) for subset in subsets}) == 1


def test_dry_run_runs_nothing(make, tmp_path, capsys):
    result = run_sweep(make(sweep={"zip": {"model.degree": [3, 4], "seed": [0, 1]}}), out=tmp_path, dry_run=True)
    assert capsys.readouterr().out.splitlines() == [
        "2 points",
        "  000-degree=3-seed=0  as the config says",
        "  001-degree=4-seed=1  seed: 0 -> 1, model.degree: 3 -> 4",
    ]
    assert result.folder is None and [each.status for each in result.points] == ["pending", "pending"]
    assert not any(tmp_path.iterdir())


def test_divergence_is_a_result(make, tmp_path, capsys):
    swept = make(optimizer=DIVERGING, sweep=LEARNING_RATES, train={"epochs": 20})
    result = run_sweep(swept, out=tmp_path, plots=False)
    assert [each.status for each in result.points] == ["done", "diverged", "done"]
    assert result.exit_code == 0 and result.status == "done"
    assert result.best["overrides"] == {"optimizer.lr": 0.1}
    captured = capsys.readouterr()
    assert "point 001-lr=1e+09 diverged: " in captured.err
    assert "overshoot" not in captured.err  # the sweep says it once, in its report
    assert any(line.split()[:2] == ["1e+09", "diverged"] for line in captured.out.splitlines())
    everywhere = make(optimizer=DIVERGING, sweep={"grid": {"optimizer.lr": [1e9, 1e10]}}, train={"epochs": 20})
    assert quietly(everywhere, tmp_path).exit_code == 4


def fail_at(monkeypatch, degree, error):
    real = point.run

    def run(given=None, **options):
        if given is not None and given.data["model"]["degree"] == degree:
            raise error
        return real(given, **options)

    monkeypatch.setattr(point, "run", run)


def test_a_failed_point_is_said_twice_and_stops_nothing(make, tmp_path, capsys, monkeypatch):
    fail_at(monkeypatch, 3, UserError("the file is gone"))
    result = run_sweep(make(), out=tmp_path, plots=False)
    assert [each.status for each in result.points] == ["done", "failed", "done"]
    assert result.exit_code == 1 and state_of(result)["status"] == "failed"
    message = capsys.readouterr().err.splitlines()
    assert message[0] == "point 001-degree=3 failed: the file is gone"
    assert message[1:3] == ["1 of 3 points failed:", "  001-degree=3: the file is gone"]
    assert f"--resume {result.folder}" in message[3]


def test_an_error_of_ours_shows_where_once(make, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(point, "run", lambda *_, **__: 1 // 0)
    result = quietly(make(), tmp_path)
    message = capsys.readouterr().err
    assert message.count("Traceback") == 1 and message.count("ZeroDivisionError: integer division") == 1 + 3 + 3
    assert {each.status for each in result.points} == {"failed"}


def test_resume_keeps_what_is_finished_and_runs_the_rest(make, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        fail_at(patch, 3, UserError("the file is gone"))
        first = quietly(make(), tmp_path)
    saved = (first.folder / "points" / "000-degree=1" / "result.json").stat().st_mtime_ns
    capsys.readouterr()
    second = run_sweep(make(), resume=first.folder, plots=False)
    assert "2 of 3 points are finished already" in capsys.readouterr().out
    assert second.folder == first.folder and second.exit_code == 0
    assert [each.status for each in second.points] == ["done"] * 3
    assert (first.folder / "points" / "000-degree=1" / "result.json").stat().st_mtime_ns == saved
    fresh = quietly(make(), tmp_path)
    assert [each.metrics for each in second.points] == [each.metrics for each in fresh.points]


def test_a_failed_attempt_is_kept_beside_the_next(make, tmp_path, monkeypatch):
    swept = make(optimizer={"name": "sgd", "lr": 0.1}, train={"epochs": 2})
    with monkeypatch.context() as patch:
        patch.setattr("dlcourse.experiment.training_run.write_predictions", lambda *_: 1 // 0)
        first = quietly(swept, tmp_path)
    assert first.points[0].status == "failed"
    second = quietly(swept, resume=first.folder)
    assert [each.folder for each in second.points][0] == "points/000-degree=1.2"
    assert RunFolder(first.folder / "points" / "000-degree=1").read_result()["status"] == "failed"


def test_resume_after_a_kill_between_a_point_and_its_record(make, tmp_path):
    first = quietly(make(), tmp_path)
    state = state_of(first)
    state["points"][1] |= {"status": "running", "metrics": {}, "parameters": None}
    state["points"][2] |= {"status": "pending", "metrics": {}, "folder": None}
    (first.folder / "sweep.json").write_text(json.dumps(state))
    before = (first.folder / "points" / "001-degree=3" / "result.json").stat().st_mtime_ns
    second = quietly(make(), resume=first.folder)
    assert [each.metrics for each in second.points] == [each.metrics for each in first.points]
    assert (first.folder / "points" / "001-degree=3" / "result.json").stat().st_mtime_ns == before
    assert len(list((first.folder / "points").iterdir())) == 3


def _empty(place):
    shutil.rmtree(place)
    place.mkdir()


def _put_a_file(place):
    shutil.rmtree(place)
    place.write_text("not a folder")


@pytest.mark.parametrize(
    ("harm", "where"),
    [
        (shutil.rmtree, "points/001-degree=3"),
        (_empty, "points/001-degree=3"),
        (_put_a_file, "points/001-degree=3.2"),
        (lambda place: (place / "result.json").unlink(), "points/001-degree=3"),
        (lambda place: [(place / name).unlink() for name in ("result.json", "config.yaml")], "points/001-degree=3.2"),
        (lambda place: (shutil.rmtree(place / "checkpoints"), (place / "result.json").unlink()), "points/001-degree=3"),
    ],
    ids=["deleted", "emptied", "a file", "no result", "no config", "no checkpoints"],
)
def test_resume_runs_again_what_is_no_longer_there(harm, where, make, tmp_path):
    first = quietly(make(), tmp_path)
    harm(first.folder / "points" / "001-degree=3")
    second = quietly(None, resume=first.folder)
    assert second.points[1].folder == where and second.status == "done"
    assert RunFolder(first.folder / where).read_result()["status"] == "done"
    assert [each.metrics for each in second.points] == [each.metrics for each in first.points]


def test_resume_fits_again_where_the_arrays_of_resampling_are_gone(make, tmp_path):
    swept = make(sweep={"grid": {"model.degree": [1, 3]}, "resample": 3})
    first = quietly(swept, tmp_path)
    (first.folder / first.points[0].folder / ARRAYS).unlink()
    second = quietly(swept, resume=first.folder)
    assert (first.folder / second.points[0].folder / ARRAYS).is_file() and second.resample == first.resample


def test_a_resume_of_stacked_points_keeps_them(make, tmp_path):
    first = quietly(make(), tmp_path, stack=True)
    second = quietly(make(), resume=first.folder)
    assert not list((first.folder / "points").iterdir()) and second.status == "done"


def test_an_interruption_is_recorded_and_resumed(make, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        fail_at(patch, 3, Interrupted("interrupted by SIGINT", 2))
        with pytest.raises(Interrupted, match="to go on: dlcourse sweep --resume") as caught:
            quietly(make(), tmp_path)
    assert caught.value.exit_code == 130
    (folder,) = (tmp_path / "small").iterdir()
    state = json.loads((folder / "sweep.json").read_text())
    assert state["status"] == "interrupted"
    assert [each["status"] for each in state["points"]] == ["done", "interrupted", "pending"]
    second = quietly(make(), resume=folder)
    assert [each.status for each in second.points] == ["done"] * 3


def test_resume_needs_no_config(make, tmp_path):
    space = {"optimizer.ridge": {"low": 1, "high": 10, "log": True}, "model.degree": {"low": 1, "high": 5, "int": True}}
    first = quietly(make(sweep={"random": {"samples": 3, "space": space}}), tmp_path)
    second = quietly(None, resume=first.folder)
    assert [each.metrics for each in second.points] == [each.metrics for each in first.points]
    with pytest.raises(UserError, match="needs a config"):
        run_sweep()


def test_resume_refuses_another_config(make, tmp_path):
    first = quietly(make(), tmp_path)
    with pytest.raises(UserError, match=r"another config: data.samples: 60, now 61; a changed config is a new sweep"):
        run_sweep(make(), overrides={"data.samples": 61}, resume=first.folder)
    with pytest.raises(UserError, match="no sweep.json"):
        run_sweep(make(), resume=tmp_path)
    (first.folder / "sweep.json").write_text("{")
    with pytest.raises(UserError, match=r"another config: data.samples: 60, now 61"):
        run_sweep(make(), overrides={"data.samples": 61}, resume=first.folder)


def test_a_sweep_is_not_taken_for_a_run(make, tmp_path):
    first = quietly(make(), tmp_path)
    with pytest.raises(UserError, match="is a sweep"):
        experiment.run(resume=first.folder)


def test_two_processes_never_share_a_sweep(make, tmp_path):
    first = quietly(make(), tmp_path)
    with RunFolder(first.folder).lock(), pytest.raises(UserError, match="another process"):
        quietly(make(), resume=first.folder)


def test_a_config_without_a_sweep_is_an_error(make):
    with pytest.raises(UserError, match="has no sweep section") as caught:
        run_sweep(make(sweep=None))
    assert caught.value.exit_code == 2


def test_values_that_do_not_go_together_name_their_points(make):
    swept = make(sweep={"grid": {"train.epochs": [1, 2], "train.steps": [None, 5]}})
    with pytest.raises(ConfigError) as caught:
        expand(config.from_mapping(swept))
    message = [str(problem) for problem in caught.value.problems]
    assert len(message) == 2 and "point 001-epochs=1-steps=5: train.steps: epochs and steps exclude" in message[0]


def test_a_sweep_that_measures_nothing_says_so(make, tmp_path, capsys):
    sections = {"data": {"name": "gaussian_samples", "samples": 30}, "model": "gaussian_estimators", "loss": None}
    swept = make(**sections, optimizer="closed_form", metrics=[], sweep={"kfold": 2})
    assert run_sweep(swept, out=tmp_path, plots=False).status == "done"
    assert capsys.readouterr().out.splitlines()[-1].startswith("nothing was measured: estimates have no metric;")


DATA = {"name": "polynomial_curve", "samples": 30}


@pytest.mark.parametrize(
    "section",
    [
        {"grid": {"optimizer.ridge": [1, 1.0]}},
        {"grid": {"loss": ["mse", {"name": "mse"}]}},
        {"zip": {"seed": [0, 0], "optimizer.ridge": [1, 1.0]}},
        {"random": {"samples": 2, "space": {"optimizer.ridge": [1, 1.0]}}},
        {"grid": {"data": [{**DATA, "seed": 1}, {**DATA, "seed": 2}]}, "resample": 5},
    ],
)
def test_two_points_that_are_one_experiment_are_refused(make, section):
    with pytest.raises(ConfigError, match="points 00[01]-.* and 00[01]-.* are one experiment"):
        expand(config.from_mapping(make(sweep=section)))


@pytest.mark.parametrize(
    "section",
    [
        {"grid": {"data": [{**DATA, "seed": 1}, {**DATA, "seed": 2}]}},
        {"grid": {"metrics.1.name": ["mae", "r2"]}},
        {"grid": {"train.epochs": [None, 2]}},
    ],
)
def test_points_that_differ_in_any_value_are_two_experiments(make, section):
    assert len(expand(config.from_mapping(make(sweep=section)))) == 2


def test_a_bad_axis_names_file_and_line(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(
        "data: {name: polynomial_curve}\nmodel: {name: polynomial, degree: 1}\noptimizer: least_squares\nloss: mse\n"
        "sweep:\n  grid:\n    model.degree: [1, 1]\n"
    )
    with pytest.raises(ConfigError, match=rf"{path}:7: sweep.grid.model.degree: lists 1 twice"):
        run_sweep(path, dry_run=True)


def test_the_stream_of_events_in_this_process(make, tmp_path):
    points = expand(config.from_mapping(make()))
    tasks = [point.Task(each.config, str(tmp_path / each.id)) for each in points]
    assert [(kind, index) for kind, index, _ in point.events(tasks, jobs=1)] == [
        (kind, index) for index in range(3) for kind in ("started", "outcome")
    ]


def test_a_sweep_over_whole_components(make, tmp_path):
    optimizers = [{"name": "least_squares"}, {"name": "sgd", "lr": 0.1}]
    result = quietly(make(sweep={"grid": {"optimizer": optimizers}}), tmp_path)
    assert [each.id for each in result.points] == ["000-optimizer=least_squares", "001-optimizer=sgd_lr=0.1"]
    assert {each.status for each in result.points} == {"done"}


def test_a_point_whose_process_still_runs_is_waited_for(make, tmp_path, monkeypatch, capsys):
    """As where a sweep was killed and is resumed while its orphan finishes a long step."""
    first = quietly(make(), tmp_path)
    state = json.loads((first.folder / "sweep.json").read_text())
    state["points"][0]["status"] = "running"
    (first.folder / "sweep.json").write_text(json.dumps(state))
    place = first.folder / first.points[0].folder
    result = json.loads((place / "result.json").read_text())
    (place / "result.json").write_text(json.dumps({**result, "status": "running"}))
    holder = RunFolder(place).lock()
    holder.__enter__()
    timer = threading.Timer(0.3, lambda: holder.__exit__(None, None, None))
    timer.start()
    again = run_sweep(resume=first.folder, quiet=True, plots=False)
    timer.join()
    assert again.status == "done" and [point.status for point in again.points] == ["done"] * 3
    assert "another process is still running there; waiting" in capsys.readouterr().err
    assert [path.name for path in (first.folder / "points").iterdir() if path.name.endswith(".2")] == []
    (place / "result.json").write_text(json.dumps({**result, "status": "running"}))
    monkeypatch.setattr("dlcourse.sweeps.point.WAIT_SECONDS", 0.0)
    with RunFolder(place).lock():
        assert run_sweep(resume=first.folder, quiet=True, plots=False).status == "failed"


def test_a_sweep_on_data_that_changed_is_not_gone_on_with(make, tmp_path):
    def table(rows):
        lines = [f"{i / 7},{(i * i) % 11}" for i in range(rows)]
        (tmp_path / "d.csv").write_text("\n".join(["x,y", *lines]) + "\n")

    table(40)
    data = {"name": "csv", "path": str(tmp_path / "d.csv"), "target": "y", "split": {"val": 0.25}}
    first = quietly(make(data=data), tmp_path / "runs")
    table(41)
    with pytest.raises(ChangedDataError, match=r"since its point 000-degree=1 was trained: .*now"):
        run_sweep(resume=first.folder, quiet=True)
    table(40)
    assert run_sweep(resume=first.folder, quiet=True, plots=False).status == "done"


@pytest.mark.parametrize("content", ["", "[]", '{"points": [{}]}', "[" * 50_000, None], ids=lambda text: str(text)[:20])
def test_a_sweep_whose_file_is_damaged_is_taken_up_from_its_points(make, tmp_path, content, capsys):
    first = quietly(make(), tmp_path)
    file = first.folder / "sweep.json"
    before = json.loads(file.read_text())
    if content is None:  # one point less
        content = json.dumps({**before, "points": before["points"][1:]})
    file.write_text(content)
    again = run_sweep(resume=first.folder, plots=False)
    assert f"{file}: " in (out := capsys.readouterr().out) and "written anew from the points' folders" in out
    assert again.status == "done" and [point.metrics for point in again.points] == [p.metrics for p in first.points]
    assert json.loads(file.read_text())["best"] == before["best"]


def test_a_sweep_writes_through_no_link(make, tmp_path):
    first = quietly(make(), tmp_path / "runs")
    place = first.folder / "points"
    place.rename(tmp_path / "elsewhere")
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="points: expected a folder, got a symbolic link"):
        run_sweep(resume=first.folder, quiet=True)
