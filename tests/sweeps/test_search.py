"""A search: which trials it makes, how it goes on after an end, and what it refuses."""

import json
import shutil
import sys

import pytest

from dlcourse import cli
from dlcourse.config import resolve
from dlcourse.errors import ConfigError, UserError
from dlcourse.sweeps import expand, point, run_sweep
from dlcourse.training.folder import RunFolder
from dlcourse.training.monitor import Pruning

pytest.importorskip("optuna")
pytest.importorskip("cmaes")

SPACE = {"optimizer.lr": {"low": 1e-4, "high": 10.0, "log": True}, "train.batch_size": [4, 12]}
EXACT = {"optimizer.ridge": {"low": 1e-6, "high": 1.0, "log": True}, "model.degree": {"low": 1, "high": 9, "int": True}}


@pytest.fixture
def searching(make):
    """The small config with a search; with a pruner trained by steps, else solved."""

    def made(name="tpe", trials=8, pruner="none", **more):
        search = {"name": name, "trials": trials, "pruner": pruner, "space": EXACT if pruner == "none" else SPACE}
        trained = {} if pruner == "none" else {"optimizer": {"name": "sgd", "lr": 0.1}, "train": {"epochs": 4}}
        return make(**trained, sweep={"search": search | more})

    return made


def quietly(given, out="runs", **options):
    return run_sweep(given, out=out, quiet=True, plots=False, **options)


def trials_of(result):
    return [(each.id, each.status, each.metrics) for each in result.points]


def state_of(folder):
    return json.loads((folder / "sweep.json").read_text())


def test_each_trial_is_a_run_and_the_best_is_the_least(searching, tmp_path):
    result = quietly(searching(trials=6), tmp_path)
    assert result.status == "done" and result.exit_code == 0 and len(result.points) == 6
    least = min(result.points, key=lambda each: each.metrics["val.mse"])
    assert result.best["overrides"] == least.overrides and result.best["metric"] == "mse"
    for each in result.points:
        assert 1e-6 <= each.overrides["optimizer.ridge"] <= 1 and each.overrides["model.degree"] in range(1, 10)
        assert RunFolder(result.folder / each.folder).read_result()["metrics"]["val"]["mse"] == each.metrics["val.mse"]
    shares = state_of(result.folder)["search"]["importance"]
    assert set(shares) == set(EXACT) and sum(shares.values()) == pytest.approx(1)
    more = quietly(None, resume=quietly(searching(trials=3), tmp_path).folder, overrides={"sweep.search.trials": 6})
    assert trials_of(more) == trials_of(result)
    assert trials_of(quietly(searching(trials=1, seed=5), tmp_path)) != trials_of(result)[:1]


@pytest.mark.parametrize(
    ("name", "pruner", "trials"), [("tpe", "hyperband", 12), ("cmaes", "median", 9), ("random", "none", 4)]
)
def test_a_search_that_was_killed_goes_on_where_it_stood(searching, tmp_path, monkeypatch, name, pruner, trials):
    given = searching(name, trials, pruner)
    whole = quietly(given, tmp_path / "whole")
    run, count = point.execute, iter(range(trials))

    def killed(*args):
        if next(count) == trials - 2:
            raise SystemExit
        return run(*args)

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(point, "execute", killed)
        quietly(given, tmp_path / "killed")
    (folder,) = (tmp_path / "killed" / "small").iterdir()
    left = state_of(folder)["points"]
    assert len(left) == trials - 1 and left[-1]["status"] == "running"
    resumed = quietly(None, resume=folder)
    assert trials_of(resumed) == trials_of(whole)
    assert state_of(folder)["search"] == state_of(whole.folder)["search"]
    assert pruner == "none" or {each.status for each in whole.points} >= {"done", "pruned"}


def test_a_pruned_trial_is_marked_and_kept(searching, tmp_path, capsys):
    result = run_sweep(searching(trials=8, pruner="median"), out=tmp_path, jobs=2, plots=False)
    pruned = [each for each in result.points if each.status == "pruned"]
    assert result.status == "done" and pruned and result.best["points"][0] not in {each.id for each in pruned}
    trials = {
        each.id: trial for each, trial in zip(result.points, state_of(result.folder)["search"]["trials"], strict=True)
    }
    for each in pruned:
        found = RunFolder(result.folder / each.folder).read_result()
        step, value, ends = trials[each.id]["reports"][-1]
        assert found["pruned"] == found["step"] == step and ends
        assert each.metrics["val.mse"] == value
    said = capsys.readouterr().out
    assert f"8 trials by tpe: {8 - len(pruned)} done, {len(pruned)} pruned" in said
    shutil.rmtree(result.folder / pruned[0].folder)
    again = quietly(None, resume=result.folder)
    assert [each.id for each in again.points] == [each.id for each in result.points]
    assert (result.folder / pruned[0].folder).is_dir()


def test_settings_that_do_not_go_together_are_failed_trials(make, tmp_path):
    stopping = {"patience": 2, "metric": "mse", "split": "val"}
    space = {"train.eval_every": [0, 1], "train.early_stopping": [None, stopping]}
    given = make(
        optimizer={"name": "sgd", "lr": 0.1}, sweep={"search": {"name": "random", "trials": 6, "space": space}}
    )
    result = quietly(given, tmp_path)
    failed = [each for each in result.points if each.status == "failed"]
    assert result.exit_code == 1 and 0 < len(failed) < 6
    assert all("nothing to stop early by" in each.error for each in failed)


def test_a_run_that_goes_on_asks_what_was_said_before():
    class Trainer:
        step, done, reason = 7, False, None

        def stop(self, reason):
            self.reason = reason

    asked = []
    pruning, trainer = Pruning("mse", "val", lambda *said: asked.append(said) or True), Trainer()
    pruning.start(trainer)
    assert asked == [(7, None)] and pruning.pruned == 7 and trainer.reason.startswith("pruned at step 7: by val mse")


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"trails": 3}, "sweep.search.trails: unknown key (did you mean 'trials'"),
        ({"space": {}}, "sweep.search.space: expected at least 1"),
        ({"space": {"model.degre": [1, 2]}}, "degre"),
        ({"space": {"model.degree": [1, -2]}}, "sweep.search.space.model.degree.1: -2"),
        ({"space": {"model.degree": {"low": 3, "high": 2, "int": True}}}, "low must be below high"),
        ({"space": {"optimizer.ridge": {"low": 0, "high": 2, "log": True}}}, "must start above 0"),
        ({"metric": "accuracy"}, "sweep.search.metric: 'accuracy' is not measured (valid: loss, mse, r2"),
        ({"name": "bayes"}, "sweep.search.name: expected tpe, cmaes or random"),
        ({"trials": 0}, "sweep.search.trials: expected"),
        ({"metric": "mse", "split": "all"}, "sweep.search.split: expected train, val or test"),
    ],
)
def test_what_is_wrong_is_said(searching, search, message):
    with pytest.raises(ConfigError) as caught:
        expand(resolve(searching(**search)))
    assert message in str(caught.value)


def test_a_pruner_needs_evaluations(searching):
    given = searching(pruner="median")
    with pytest.raises(ConfigError, match=r"sweep\.search\.pruner: least_squares solves in one step"):
        resolve(given | {"optimizer": "least_squares"})
    with pytest.raises(ConfigError, match=r"train\.eval_every: 0 evaluates at the end only: nothing to prune"):
        resolve(given, {"train.eval_every": 0})


@pytest.mark.parametrize("beside", [{"grid": {"model.degree": [1]}}, {"seeds": 2}, {"execution": "stacked"}])
def test_a_search_stands_alone(searching, beside):
    given = searching()
    with pytest.raises(ConfigError, match=next(iter(beside))):
        resolve(given | {"sweep": given["sweep"] | beside})
    with pytest.raises(UserError, match="--stacked does not combine"):
        quietly(given, stack=True)


def test_a_dry_run_says_the_space(searching, capsys):
    run_sweep(searching(pruner="hyperband"), dry_run=True)
    said = capsys.readouterr().out
    assert "8 trials by tpe, pruned by hyperband, for the best validation mse" in said
    assert "number from 0.0001 to 10, by its logarithm" in said and "one of 4, 12" in said


@pytest.mark.parametrize("package", ["optuna", "cmaes"])
def test_without_optuna_a_line_says_how_to_get_it(searching, tmp_path, monkeypatch, capsys, package):
    monkeypatch.setitem(sys.modules, package, None)
    file = tmp_path / "search.yaml"
    file.write_text(json.dumps(searching("cmaes")))
    assert cli.main(["sweep", str(file), "--out", str(tmp_path / "runs")]) == 2
    said = capsys.readouterr().err
    assert f'needs the package {package}, which is not installed: pip install "dlcourse[search]"' in said
    assert not (tmp_path / "runs").exists()
