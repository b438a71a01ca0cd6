"""Stacked points against the same points as runs of their own."""

import json

import numpy as np
import pytest

from dlcourse.config import resolve
from dlcourse.errors import DamagedFileError
from dlcourse.sweeps import run_sweep
from dlcourse.sweeps.expansion import expand
from dlcourse.sweeps.states import new_state, record_outcome

SWEEP = {"grid": {"model.degree": [1, 2, 5, 9], "optimizer.ridge": [0.0, 0.1], "data.seed": [3, 4]}, "kfold": 3}
EVERY = ["mse", "half_sse", "rmse", "mae", "r2"]


def quietly(given, out, **options):
    return run_sweep(given, out=out, quiet=True, plots=False, **options)


@pytest.mark.parametrize("basis", ["legendre", "chebyshev", "power"])
@pytest.mark.parametrize("normalize", ["none", "standardize"])
def test_same_numbers_and_conclusions(make, tmp_path, basis, normalize):
    data = {**make()["data"], "split": {"test": 0.2}, "normalize": normalize}
    given = make(sweep=SWEEP, metrics=EVERY, data=data, model={"name": "polynomial", "degree": 1, "basis": basis})
    apart, together = quietly(given, tmp_path, stack=False), quietly(given, tmp_path, stack=True)
    for one, other in zip(apart.points, together.points, strict=True):
        assert (one.id, one.status, one.parameters) == (other.id, other.status, other.parameters)
        assert other.folder is None and list(other.metrics) == list(one.metrics)
        assert other.metrics == pytest.approx(one.metrics, rel=1e-8, abs=1e-12)
    for one, other in zip(apart.groups, together.groups, strict=True):
        assert other["mean"] == pytest.approx(one["mean"], rel=1e-8, abs=1e-12)
        assert other["se"] == pytest.approx(one["se"], rel=1e-8, abs=1e-12)
    assert together.best["overrides"] == apart.best["overrides"]
    assert together.one_standard_error["overrides"] == apart.one_standard_error["overrides"]


def test_several_features_and_targets(make, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 3))
    np.savez(tmp_path / "many.npz", x=x, y=np.stack([x[:, 0] ** 2 - x[:, 1], x[:, 2] ** 3], axis=1))
    data = {"name": "arrays", "path": str(tmp_path / "many.npz"), "split": {"val": 0.2}}
    given = make(data=data, metrics=EVERY, sweep={"grid": {"model.degree": [1, 2, 4], "optimizer.ridge": [0.0, 0.5]}})
    apart, together = quietly(given, tmp_path, stack=False), quietly(given, tmp_path, stack=True)
    for one, other in zip(apart.points, together.points, strict=True):
        assert other.folder is None and other.parameters == one.parameters
        assert other.metrics == pytest.approx(one.metrics, rel=1e-8, abs=1e-12)


def test_only_the_parts_asked_for_are_measured(make, tmp_path):
    given = make(train={"evaluate": ["val"]})
    apart, together = quietly(given, tmp_path, stack=False), quietly(given, tmp_path, stack=True)
    assert [list(p.metrics) for p in together.points] == [list(p.metrics) for p in apart.points]


def test_points_that_the_data_do_not_determine_run_by_themselves(make, tmp_path):
    data = {**make()["data"], "samples": 12, "split": {"train": 0.5, "val": 0.25, "test": 0.25}}
    result = quietly(make(data=data), tmp_path, stack=True)
    assert [point.folder is None for point in result.points] == [True, True, False]
    assert all(point.status == "done" for point in result.points)


def test_only_points_of_an_earlier_sweep_are_finished_already(make, tmp_path, capsys):
    folder = run_sweep(make(), out=tmp_path, plots=False, stack=True).folder
    assert "3 of 3 points solved stacked" in (text := capsys.readouterr().out) and "finished already" not in text
    run_sweep(None, resume=folder, plots=False, stack=True)
    assert "3 of 3 points are finished already" in (text := capsys.readouterr().out) and "stacked" not in text


def test_few_points_keep_their_folders_unless_asked(make, tmp_path):
    assert all(point.folder for point in quietly(make(), tmp_path).points)


def test_rows_of_resamples_are_in_the_order_of_the_points_and_one_for_each(make):
    config = resolve(make(sweep={"grid": {"model.degree": [1, 3, 9]}, "resample": 3}))
    state = new_state(config, expand(config))
    for value, number in enumerate([2, 0, 1, 0]):
        outcome = {"status": "done", "error": None, "resample": {"bias": value}}
        record_outcome(state, state.points[number], outcome)
    ids = [point.id for point in state.points]
    assert state.resample["points"] == [{"id": name, "bias": value} for name, value in zip(ids, (3, 2, 0), strict=True)]


def arrays(result):
    with np.load(result.folder / "resample.npz", allow_pickle=False) as found:
        return dict(found)


@pytest.mark.parametrize(
    ("data", "by_themselves"),
    [({"normalize": "standardize"}, 0), ({"samples": 12, "split": {"train": 0.5, "val": 0.25, "test": 0.25}}, 1)],
)
def test_resampled_points_are_solved_together_too(make, tmp_path, monkeypatch, data, by_themselves):
    monkeypatch.setattr("dlcourse.sweeps.closed_form._BATCH", 2)
    sweep = {"grid": {"model.degree": [1, 3, 9]}, "resample": 3}
    given = make(data={**make()["data"], **data}, sweep=sweep)
    with monkeypatch.context() as patch:
        patch.setattr("dlcourse.sweeps.point._solved", lambda *_: None)
        apart = quietly(given, tmp_path, stack=False)
    together = quietly(given, tmp_path, stack=True)
    assert sum(point.folder is not None for point in together.points) == by_themselves
    for one, other in zip(apart.resample["points"], together.resample["points"], strict=True):
        assert one.pop("id") == other["id"] and list(one) == list(other)[1:]
        assert list(one.values()) == pytest.approx(list(other.values())[1:], rel=1e-6)
    one, other = arrays(apart), arrays(together)
    assert list(one) == list(other)
    for name in one:
        np.testing.assert_allclose(other[name], one[name], rtol=1e-5, atol=1e-5)
    in_folders = quietly(given, tmp_path, stack=False)  # the fits of each point by itself, solved together as well
    for row, before in zip(in_folders.resample["points"], apart.resample["points"], strict=True):
        assert list(row.values())[1:] == pytest.approx(list(before.values()), rel=1e-6)
    (together.folder / "resample.npz").unlink()
    again = run_sweep(None, resume=together.folder, quiet=True, plots=False, stack=True)
    assert again.resample == together.resample and arrays(again).keys() == one.keys()
    file = together.folder / "sweep.json"
    whole = json.loads(file.read_text())
    whole["points"][0]["status"] = "pending"
    file.write_text(json.dumps(whole))
    again = run_sweep(None, resume=together.folder, quiet=True, plots=False, stack=True)
    assert arrays(again).keys() == one.keys()
    (together.folder / "resample.npz").write_text("no archive")
    with pytest.raises(DamagedFileError, match=r"resample\.npz: not a readable .* delete it, and sweep --resume"):
        run_sweep(None, resume=together.folder, quiet=True, plots=False, stack=True)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"optimizer": {"name": "sgd", "lr": 0.1}}, "no other point has its architecture"),
        ({"model": {"name": "linear"}, "sweep": {"grid": {"optimizer.ridge": [0.0, 1.0]}}}, "solves in one step"),
        ({"precision": "float32"}, "solves in one step"),
    ],
)
def test_others_have_run_folders_and_the_plan_says_why(make, tmp_path, capsys, change, reason):
    given = make(**change)
    run_sweep(given, dry_run=True, stack=True, plots=False)
    assert reason in capsys.readouterr().out
    assert all(point.folder for point in quietly(given, tmp_path, stack=True).points)
