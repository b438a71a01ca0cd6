"""``logging: [tensorboard]``: files that TensorBoard's own reader reads back."""

import json
import shutil
from pathlib import Path

import pytest

import dlcourse as dl
from dlcourse import registry
from dlcourse.cli import main
from dlcourse.sweeps import run_sweep
from dlcourse.training.loggers.tensorboard import scalars

CONFIG = {
    "name": "spirals",
    "device": "cpu",
    "data": {"name": "spirals", "samples": 60, "split": {"train": 0.6, "val": 0.2, "test": 0.2}},
    "model": {"name": "mlp", "hidden": [4]},
    "loss": "cross_entropy",
    "optimizer": {"name": "adam", "lr": 0.01},
    "metrics": ["accuracy"],
    "train": {"steps": 12, "batch_size": 9, "log_every": 2},  # four steps an epoch
    "logging": ["tensorboard"],
}


def run(**options):
    return dl.run(quiet=True, plots=False, **options)


def read_back(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Steps and values by tag, as TensorBoard shows them."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = accumulator.EventAccumulator(str(folder / "tensorboard"))
    found.Reload()
    return {tag: [(each.step, each.value) for each in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def of_history(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """The same from metrics.jsonl."""
    found: dict[str, list[tuple[int, float]]] = {}
    for line in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines()):
        for tag, value in scalars(line):
            found.setdefault(tag, []).append((line["step"], pytest.approx(value, rel=1e-6)))
    return found


def test_tensorboards_own_reader_finds_every_scalar(tmp_path):
    pytest.importorskip("tensorboard")
    folder = run(config=CONFIG, overrides={"train.watch": True}, out=tmp_path).folder
    found = read_back(folder)
    assert found == of_history(folder)
    assert any(tag.startswith("watch/layers.1/") for tag in found)
    assert [step for step, _ in found["loss"]] == [1, 2, 4, 6, 8, 10, 12]
    assert [step for step, _ in found["val/accuracy"]] == [4, 8, 12]
    assert {"lr", "train/accuracy", "test/accuracy"} < set(found) and len(found["test/accuracy"]) == 1


def test_a_resumed_run_goes_on_without_duplicates(tmp_path):
    pytest.importorskip("tensorboard")
    whole = run(config=CONFIG, overrides={"train.steps": 20, "train.checkpoint_every": 4}, out=tmp_path / "a").folder
    folder = run(config=CONFIG, overrides={"train.checkpoint_every": 4}, out=tmp_path / "b").folder
    run(resume=folder, overrides={"train.steps": 20})
    assert len(list((folder / "tensorboard").iterdir())) == 2
    found = read_back(folder)
    assert found == of_history(folder) == of_history(whole)
    assert [step for step, _ in found["test/accuracy"]] == [20]


def test_what_was_written_after_the_checkpoint_of_a_killed_run_is_dropped(tmp_path):
    pytest.importorskip("tensorboard")
    folder = run(config=CONFIG, overrides={"train.steps": 7}, out=tmp_path).folder
    saved = tmp_path / "checkpoints"
    shutil.copytree(folder / "checkpoints", saved)
    run(resume=folder, overrides={"train.steps": 12})
    before = read_back(folder)
    # As if killed: the files know steps 8 to 12, the last checkpoint is of step 7.
    shutil.rmtree(folder / "checkpoints")
    shutil.copytree(saved, folder / "checkpoints")
    (folder / "result.json").write_text(
        json.dumps({**json.loads((folder / "result.json").read_text()), "status": "running"})
    )
    run(resume=folder)
    assert read_back(folder) == of_history(folder)
    assert {tag: [step for step, _ in rows] for tag, rows in before.items()} == {
        tag: [step for step, _ in rows] for tag, rows in read_back(folder).items()
    }


def test_points_of_a_sweep_have_files_and_such_are_not_stacked(tmp_path):
    pytest.importorskip("tensorboard")
    config = {**CONFIG, "sweep": {"seeds": 2}}
    found = run_sweep(config, out=tmp_path, plots=False, quiet=True)
    for point in found.points:
        assert read_back(found.folder / point.folder)["val/accuracy"]
    stacked = {
        "precision": "float64",
        "data": {"name": "polynomial_curve", "samples": 30},
        "model": {"name": "polynomial", "degree": 2},
        "optimizer": "least_squares",
        "metrics": ["mse"],
        "logging": ["tensorboard"],
        "sweep": {"seeds": 2},
    }
    by_themselves = run_sweep(stacked, device="cpu", out=tmp_path, stack=True, quiet=True, plots=False)
    assert all(read_back(by_themselves.folder / point.folder) for point in by_themselves.points)


def test_a_value_that_is_no_number_is_written_as_such():
    (value,) = scalars({"event": "eval", "metrics": {"val": {"mse": None}}})
    assert value[0] == "val/mse" and value[1] != value[1]


def test_without_the_package_nothing_begins(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (tmp_path / "a.yaml").write_text(json.dumps(CONFIG))
    assert main(["run", "a.yaml"]) == 1
    err = capsys.readouterr().err
    assert "needs the package tensorboard, which is not installed" in err and "pip install" in err
    assert not (tmp_path / "runs").exists()
    assert main(["validate", "a.yaml"]) == 0


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("[tensorbord]", "no logging 'tensorbord' (did you mean 'tensorboard'?"),
        ("[tensorboard,tensorboard]", "tensorboard stands here twice"),
        ("tensorboard", "logging: expected a list"),
        ("[{name: tensorboard, folder: x}]", "unknown key"),
    ],
)
def test_mistakes(tmp_path, monkeypatch, capsys, value, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").write_text(json.dumps(CONFIG))
    assert main(["validate", "a.yaml", f"logging={value}"]) == 2
    assert message in capsys.readouterr().err


def test_it_is_listed(capsys):
    assert main(["list", "logging"]) == 0
    assert "  tensorboard  Scalars for TensorBoard" in capsys.readouterr().out


LOGGER = """
from pathlib import Path
from dlcourse.registry import register
from dlcourse.training.callback import Callback

@register("logging", "steps")
class Steps(Callback):
    'The steps of all lines.'

    def __init__(self, path, history, name_of_file: str = "steps.txt"):
        self.file, self.history = Path(path) / name_of_file, history

    def start(self, trainer):
        self.history.listeners.append(self.write)

    def write(self, lines):
        with open(self.file, "a") as file:
            file.writelines(f"{line['step']}\\n" for line in lines)
"""


def test_a_logger_of_ones_own_is_one_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "steps_logger.py").write_text(LOGGER)
    (tmp_path / "a.yaml").write_text(json.dumps({**CONFIG, "plugins": ["steps_logger.py"], "logging": ["steps"]}))
    monkeypatch.setitem(registry.registered, "logging", dict(registry.registered["logging"]))
    assert main(["check", "steps_logger.py"]) == 0
    assert "takes lines" in capsys.readouterr().out
    assert main(["run", "a.yaml", "--allow-code", "--quiet"]) == 0
    (file,) = tmp_path.glob("runs/spirals/*/steps.txt")
    assert file.read_text().split()[:3] == ["1", "2", "4"]
