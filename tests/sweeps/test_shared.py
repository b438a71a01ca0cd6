"""What the points of a sweep have in common is kept once, and each point is a run folder by itself."""

import shutil

import numpy as np
import pytest

from dlcourse import plots
from dlcourse.errors import UserError
from dlcourse.plots.run_view import RunView
from dlcourse.sweeps import run_sweep
from dlcourse.training.shared import write_shared

SPIRALS = {
    "name": "spirals",
    "data": {"name": "spirals"},
    "model": {"name": "mlp", "hidden": [4]},
    "loss": "cross_entropy",
    "optimizer": {"name": "sgd", "lr": 0.1},
    "train": {"epochs": 1, "batch_size": 300},
    "metrics": ["accuracy"],
    "sweep": {"grid": {"optimizer.lr": [0.1, 0.2, 0.3]}},
}


@pytest.mark.parametrize("jobs", [1, 2])
def test_points_share_samples_and_environment_and_read_alone(jobs, tmp_path):
    result = run_sweep(SPIRALS, out=tmp_path / "runs", jobs=jobs, quiet=True, plots=False)
    points = sorted((result.folder / "points").iterdir())
    for name in ("samples.npz", "environment.json"):
        assert len({(each / name).stat().st_ino for each in points}) == 1, name
    files = [path for path in points[0].rglob("*") if path.is_file()]
    assert len(files) == 10 and sum(path.stat().st_size for path in files if path.stat().st_nlink == 1) < 50_000
    lone = tmp_path / "lone"
    shutil.copytree(points[0], lone)
    shutil.rmtree(result.folder)
    view = RunView(lone)
    assert view.splits["train"].x.shape == (600, 2) and view.splits["train"].output.shape == (600, 3)
    plots.draw(lone)
    assert (lone / "plots" / "decision_regions.png").is_file() and not view.damage
    assert (lone / "predictions.npz").stat().st_size < 60_000


def folder_of_points(tmp_path):
    (tmp_path / "sweep.json").touch()
    runs = [tmp_path / "points" / name for name in "abc"]
    for run in runs:
        run.mkdir(parents=True)
    return runs


def test_a_shared_file_that_was_changed_is_not_taken(tmp_path):
    runs = folder_of_points(tmp_path)
    write_shared(runs[0], "x.json", b"same")
    (common,) = (tmp_path / "shared").iterdir()
    common.write_bytes(b"edited in place")
    write_shared(runs[1], "x.json", b"same")
    write_shared(runs[1], "x.json", b"same")
    assert (runs[1] / "x.json").read_bytes() == b"same"


def test_without_hard_links_each_point_has_its_own(tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError("no links here")

    monkeypatch.setattr("os.link", refuse)
    runs = folder_of_points(tmp_path)
    for run in runs:
        write_shared(run, "x.json", b"same")
        assert (run / "x.json").read_bytes() == b"same"


def test_nothing_is_shared_through_a_link(tmp_path):
    (tmp_path / "sweep").mkdir()
    runs = folder_of_points(tmp_path / "sweep")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "sweep" / "shared").symlink_to(elsewhere)
    with pytest.raises(UserError, match="symbolic link"):
        write_shared(runs[0], "x.json", b"same")
    assert not list(elsewhere.iterdir())


def test_a_run_outside_a_sweep_has_all_in_its_predictions(tmp_path):
    from dlcourse.experiment import run

    ran = run({**SPIRALS, "sweep": None}, out=tmp_path, quiet=True, plots=False)
    with np.load(ran.folder / "predictions.npz") as found:
        assert {"train_x", "train_y", "train_output", "grid_axes", "grid_output"} <= set(found.files)
    assert not (ran.folder / "samples.npz").exists() and not (ran.folder.parent / "shared").exists()


def test_names_beside_the_predictions_of_an_earlier_version_are_read(tmp_path):
    np.savez(tmp_path / "predictions.npz", train_y=np.zeros(2))
    (tmp_path / "predictions.json").write_text('{"task": "regression", "target_name": "rent"}')
    assert RunView(tmp_path).task == "regression" and RunView(tmp_path).target[0] == "rent"
