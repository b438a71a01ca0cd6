"""Folders that are incomplete or damaged are read as far as they go."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from dlcourse.errors import DamagedFileError
from dlcourse.plots.reading import Folder
from dlcourse.plots.run_view import History, RunView
from dlcourse.records.reading import read
from dlcourse.records.run import RunState
from tests.plots.folders import REGRESSION, regression_arrays, training_events, write_run


def test_missing_files_are_empty_without_a_note(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    assert folder.json("no.json", RunState) == {} and folder.events("no.jsonl") == [] and folder.arrays("no.npz") == {}
    assert folder.text("no.txt") == "" and folder.yaml("no.yaml") == {}
    assert folder.damage == []


def test_damaged_files_are_empty_and_noted(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"status": ')
    (tmp_path / "b.json").write_text("[1, 2]")
    (tmp_path / "c.npz").write_bytes(b"PK\x03\x04 torn")
    (tmp_path / "d.yaml").write_text("a: [1\nb: }")
    folder = Folder(tmp_path)
    assert folder.json("a.json", RunState) == {} and folder.json("b.json", RunState) == {}
    assert folder.arrays("c.npz") == {} and folder.yaml("d.yaml") == {}
    assert [note.split()[0] for note in folder.damage] == ["a.json", "b.json", "c.npz", "d.yaml"]


def test_arrays_are_never_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "bad.npz", x=np.array([{"a": 1}], dtype=object))
    folder = Folder(tmp_path)
    assert folder.arrays("bad.npz") == {}
    assert folder.damage


def test_a_line_that_a_crash_cut_off_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"event": "train", "step": 1}\n{"event": "tra')
    folder = Folder(tmp_path)
    assert [event["step"] for event in folder.events("metrics.jsonl")] == [1]
    assert folder.damage == []
    (tmp_path / "metrics.jsonl").write_text('{"event": "tra\n{"event": "train", "step": 2}\n')
    assert [event["step"] for event in folder.events("metrics.jsonl")] == [2]
    assert folder.damage == ["metrics.jsonl could not be read (1 of 2 lines are damaged)"]


def test_nan_and_null_are_read_as_nan(tmp_path: Path) -> None:
    write_run(tmp_path, metrics={"val": {"mse": None}, "train": {"mse": float("nan"), "r2": float("inf")}})
    metrics = RunView(tmp_path).metrics
    assert list(metrics) == ["train", "val"]
    assert np.isnan(metrics["val"]["mse"]) and np.isnan([*metrics["train"].values()]).all()


def test_of_two_lines_for_one_step_the_later_counts() -> None:
    events = training_events(epochs=2, per_epoch=5)
    again = {**events[2], "loss": 123.0}
    history = History([*events, again])
    assert len(history.column("loss")) == 10
    assert history.column("loss")[events[2]["step"] - 1] == 123.0
    assert np.all(np.diff(history.column("step")) > 0)
    assert history.steps_per_epoch() == 5


def test_a_metric_that_only_some_lines_have() -> None:
    events = training_events(epochs=4, per_epoch=2)
    evals = [event for event in events if event["event"] == "eval"]
    del evals[1]["metrics"]["val"]["accuracy"]
    steps, values = History(events).metric("val", "accuracy")
    assert steps.tolist() == [2, 6, 8] and len(values) == 3
    assert History(events).metric("test", "accuracy")[0].size == 0


def test_a_metric_of_ones_own_has_the_direction_that_the_run_declares(tmp_path: Path) -> None:
    write_run(tmp_path / "new", arrays={}, facts={"higher_is_better": ["f1"]})
    write_run(tmp_path / "old")
    new, old = RunView(tmp_path / "new"), RunView(tmp_path / "old")
    assert new.higher_is_better("f1") and not new.higher_is_better("mse")
    assert old.higher_is_better("accuracy") and not old.higher_is_better("mse")


def test_a_metric_has_the_unit_of_its_target(tmp_path: Path) -> None:
    def label(metric: str, target_unit: str = "") -> str:
        facts = {"task": "regression", "target_unit": target_unit}
        return RunView(write_run(tmp_path / (target_unit or "none"), arrays={}, facts=facts)).metric_label(metric)

    assert label("rmse", "dollars") == "root mean squared error (dollars)"
    assert label("mse", "square feet") == "mean squared error (square feet squared)"
    assert label("mse", "dollars") == "mean squared error (dollars²)"
    assert label("mse") == "mean squared error"
    assert label("my_own", "m") == "my own"


def test_a_model_has_the_name_that_its_field_writes(tmp_path: Path) -> None:
    names = {"gan": "GAN", "gpt": "GPT", "masked_lm": "Masked language model", "vit": "Vision transformer"}
    for name, title in (names | {"diffusion": "Diffusion"}).items():
        view = RunView(write_run(tmp_path / name, model=f"{{name: {name}}}"))
        assert view.model == title


def test_the_folder_of_an_explanation_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = write_run(Path("run"))
    (folder / "explain").mkdir()
    np.savez(folder / "explain" / "attention.npz", facts='{"across": 1}')
    for view in (RunView(folder), RunView(folder, folder / "explain")):
        assert view.explanation("attention").facts


def test_a_metric_is_called_as_the_folder_says(tmp_path: Path) -> None:
    own = {"f1": {"title": "F₁ score", "unit": "%", "higher_is_better": True}}
    view = RunView(write_run(tmp_path, metric_facts=own))
    assert view.metric_label("f1") == "F₁ score (%)" and view.higher_is_better("f1")


def test_what_training_reduces_is_named_by_the_loss_or_with_the_unit_of_the_objective(tmp_path: Path) -> None:
    nats = {"loss": {"title": "loss", "unit": "nats", "higher_is_better": False}}
    write_run(tmp_path, metric_facts=nats)
    assert RunView(tmp_path).loss_label.startswith("training loss: ")
    (tmp_path / "config.yaml").write_text("name: vae\nloss: null\n")
    assert RunView(tmp_path).loss_label == "training loss (nats)"


def test_parts_whose_shapes_do_not_fit_are_left_out(tmp_path: Path) -> None:
    arrays = regression_arrays()
    arrays["val_output"] = arrays["val_output"][:-1]
    arrays["test_output"] = np.hstack([arrays["test_output"]] * 3)
    write_run(tmp_path, arrays=arrays, facts=REGRESSION)
    assert list(RunView(tmp_path).splits) == ["train"]


def test_a_run_that_has_written_nothing_yet(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(json.dumps({"status": "running", "name": "early"}))
    view = RunView(tmp_path)
    assert (view.name, view.status, view.task, view.splits, view.metrics) == ("early", "running", "", {}, {})
    assert view.history.train == [] and view.config == {}


def test_an_archive_with_damage_anywhere_is_noted(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "whole.npz", x=np.arange(200.0), y=np.arange(3))
    whole = (tmp_path / "whole.npz").read_bytes()
    rng = np.random.default_rng(0)
    for place in [*range(0, 60), *rng.integers(0, len(whole), 200)]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        (tmp_path / "a.npz").write_bytes(damaged)
        folder = Folder(tmp_path)
        assert bool(folder.arrays("a.npz")) != bool(folder.damage)


def test_a_pipe_or_a_device_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "result.json")
    (tmp_path / "metrics.jsonl").symlink_to("/dev/zero")
    folder = Folder(tmp_path)
    assert folder.json("result.json", RunState) == {} and folder.events("metrics.jsonl") == []
    assert [note.split()[0] for note in folder.damage] == ["result.json", "metrics.jsonl"]
    with pytest.raises(DamagedFileError, match="expected an ordinary file, got something else"):
        read(tmp_path / "result.json", RunState)


def test_a_damaged_picture_is_named_as_it_lies_in_the_folder(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "explain").mkdir()
    (folder / "explain" / "filters.npz").write_bytes(b"no archive")
    view = RunView(folder)
    assert not view.explanation("filters").arrays and not view.explanation("embedding").arrays
    assert [note.split(" could")[0] for note in view.damage] == ["explain/filters.npz"]
