from pathlib import Path

import pytest

from dlcourse import backend, registry
from dlcourse.cli import main
from dlcourse.config import load
from dlcourse.data.files import data_folder
from dlcourse.errors import UserError
from dlcourse.experiment import Experiment, run
from dlcourse.experiment.sanity_checks import one_step
from dlcourse.resources import shipped

from .samples import IMAGES, LINE, NET, changed, write

CONFIGS = Path(__file__).parents[2] / "configs"
SHIPPED = sorted(map(str, shipped()))


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_config_can_be_tried_for_one_step(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CONFIGS.parent)
    config = load(CONFIGS / name).without_sweep()
    if hasattr(registry.lookup("data", config.data["data"]["name"]), "open"):
        pytest.skip("its data would have to be downloaded")
    path = config.data["data"].get("path")
    if path is not None and not any((folder / path).is_file() for folder in (Path(), data_folder() or Path())):
        pytest.skip(f"{path} is not here")
    Experiment.from_config(one_step(config), backend.get("cpu"), first_batches=True)


def test_one_batch_is_learned_by_heart_without_what_holds_it_back(capsys, tmp_path: Path) -> None:
    config = changed(NET, model={"dropout": 0.5}, train={"l2": 1.0, "epochs": 1})
    result = run(config, overfit_batch=True, out=tmp_path)
    assert "memorized the first batch (16 samples)" in capsys.readouterr().out
    assert result.metrics["train"]["accuracy"] == 1.0
    assert result.metrics["val"] == result.metrics["train"], "judged on the very batch"
    assert result.folder is None and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("config", [NET, IMAGES], ids=["points", "augmented images"])
def test_it_sees_the_first_batch_only_and_always_alike(monkeypatch, config: dict) -> None:
    from dlcourse.training.step import TrainStep

    seen = []
    real = TrainStep.__call__

    def step(self, x, y):
        seen.append((x.tobytes(), y.tobytes()))
        return real(self, x, y)

    monkeypatch.setattr(TrainStep, "__call__", step)
    run(config, overfit_batch=True, quiet=True)
    assert len(seen) > 5 and len(set(seen)) == 1


def test_a_model_that_cannot_says_so(capsys) -> None:
    config = changed(NET, model={"name": "softmax"})
    config["model"] = "softmax"
    run(config, overfit_batch=True)
    out = capsys.readouterr().out
    assert "did not memorize the first batch (16 samples): loss" in out and "after 1000 steps" in out


def test_regression_and_closed_forms(capsys) -> None:
    run(LINE, overfit_batch=True)
    assert "did not memorize" in capsys.readouterr().out
    net = changed(LINE, model={}, optimizer={"name": "adam", "lr": 0.01}, train={"batch_size": 4})
    net["model"] = {"name": "mlp", "hidden": [50]}
    run(net, overfit_batch=True, overrides={"optimizer.lr": 0.3})
    assert "memorized the first batch (4 samples)" in capsys.readouterr().out


@pytest.mark.parametrize("config", [LINE, NET], ids=["closed form", "net"])
def test_a_fast_dev_run_does_everything_and_keeps_nothing(tmp_path: Path, monkeypatch, capsys, config: dict) -> None:
    drawn = []
    monkeypatch.setattr("dlcourse.plots.draw", lambda folder: drawn.append(sorted(p.name for p in folder.iterdir())))
    monkeypatch.setattr("dlcourse.plots.report", lambda folder: folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    result = run(config, fast_dev_run=True)
    out = capsys.readouterr().out
    assert "everything worked, nothing was kept" in out and str(tmp_path) not in out, "names what is gone"
    assert {"result.json", "predictions.npz", "checkpoints", "metrics.jsonl"} <= set(drawn[0])
    assert result.folder is None and list(tmp_path.iterdir()) == []
    assert result.history[-1]["step"] == 1
    assert set(result.metrics) == {"train", "val", "test"}


def test_learning_by_heart_is_not_profiled() -> None:
    with pytest.raises(UserError, match="profile a run"):
        run(LINE, overfit_batch=True, profile=True)


def test_from_the_command_line(tmp_path: Path, capsys) -> None:
    path = write(tmp_path, {**LINE, "sweep": {"grid": {"seed": [1, 2]}}})
    assert main(["run", str(path), "--out", str(tmp_path / "out"), "--no-plots"]) == 0
    assert len(list((tmp_path / "out").glob("line/*/points/*/result.json"))) == 2, "a config with a sweep is a sweep"
    capsys.readouterr()
    assert main(["run", str(path), "--fast-dev-run", "--no-plots"]) == 0
    out = capsys.readouterr().out
    assert "this looks at its base alone" in out and "everything worked" in out
    assert main(["run", str(path), "--fast-dev-run", "--overfit-batch"]) == 2
    assert main(["run"]) == 2
    assert "run needs a config" in capsys.readouterr().err
