import json
from dataclasses import asdict
from pathlib import Path

import pytest

from dlcourse.backend.autotune import Choice, following, kept
from dlcourse.backend.cpu import autotune, onednn
from dlcourse.config import load
from dlcourse.errors import ChangedDataError, CheckpointError, ConfigError, Interrupted, UserError
from dlcourse.experiment import run
from dlcourse.experiment.identity import config_hash
from dlcourse.training.checkpoints.callback import Checkpointing
from dlcourse.training.checkpoints.file_format import read
from dlcourse.training.folder import RunFolder
from dlcourse.training.step import TrainStep

from .samples import IMAGES, LINE, NET, changed, lines, same_run


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch) -> None:
    """Processes die here, not the power."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


def go(config: dict | None, out: Path, **options):
    return run(config, out=out, plots=False, quiet=True, **options)


class Killed(BaseException):
    """Ends a run with nothing written, as SIGKILL does."""


def killed_at(monkeypatch, config: dict, out: Path, *steps: int) -> Path:
    """A run killed in the middle of each of these steps (and resumed in between); returns its folder."""
    real = TrainStep.__call__
    limit = [0]

    def step(self, x, y):
        if self.step == limit[0]:
            raise Killed
        return real(self, x, y)

    def nothing(*_: object) -> None:
        """A killed process writes no failure down."""

    with monkeypatch.context() as patch:
        patch.setattr(TrainStep, "__call__", step)
        patch.setattr("dlcourse.experiment.training_run.Run._fail", nothing)
        path = None
        for limit[0] in steps:
            with pytest.raises(Killed):
                go(config, out) if path is None else go(None, out, resume=path)
            (path,) = (out / config["name"]).iterdir()
    return path


@pytest.mark.parametrize("every", [None, 1, 7])
@pytest.mark.parametrize("steps", [(0,), (1,), (3, 3, 40), (55, 56), (119,)], ids=str)
def test_killed_anywhere_and_resumed_it_ends_bit_for_bit_as_if_it_had_not_been(
    tmp_path: Path, monkeypatch, steps: tuple[int, ...], every: int | None
) -> None:
    monkeypatch.setattr(Checkpointing, "MIN_SECONDS", 0.0)  # by time: as often as it likes
    config = changed(NET, train={"checkpoint_every": every})
    whole = go(config, tmp_path / "whole").folder
    assert json.loads((whole / "result.json").read_text())["step"] == 120
    broken = killed_at(monkeypatch, config, tmp_path / "broken", *steps)
    assert go(None, tmp_path, resume=broken).folder == broken
    same_run(whole, broken)


@pytest.mark.skipif(not onednn.available(), reason="oneDNN is not installed (extra cpu)")
def test_it_goes_on_with_its_own_choices_of_products(tmp_path: Path, monkeypatch) -> None:
    """As on another node of a cluster, whose files of choices are others, or gone."""
    config = changed(NET, model={"hidden": [512, 64]}, train={"epochs": 4, "batch_size": 64, "checkpoint_every": 2})
    monkeypatch.delenv(autotune.SWITCH)
    chosen = {"first": lambda own, others, error: Choice(next(iter(others))), "second": lambda *_: Choice()}

    def on(node: str) -> None:
        monkeypatch.setenv("DLCOURSE_CACHE", str(tmp_path / node))
        monkeypatch.setattr(autotune, "_measured", chosen[node])
        kept.clear()
        following.clear()

    on("second")
    other = go(config, tmp_path / "other").folder
    on("first")
    whole = go(config, tmp_path / "whole").folder
    on("first")
    broken = killed_at(monkeypatch, config, tmp_path / "broken", 5)
    on("second")
    go(None, tmp_path, resume=broken)
    last = [(run / "checkpoints/last.safetensors").read_bytes() for run in (whole, broken, other)]
    assert lines(broken) == lines(whole) and last[0] == last[1] != last[2]
    kept.clear()
    following.clear()


def test_before_the_first_checkpoint_it_starts_over(tmp_path: Path, monkeypatch) -> None:
    whole = go(NET, tmp_path / "whole").folder
    broken = killed_at(monkeypatch, NET, tmp_path / "broken", 50)
    assert not (broken / "checkpoints/last.safetensors").exists()
    go(None, tmp_path, resume=broken)
    same_run(whole, broken)


def test_augmented_images_go_on_too(tmp_path: Path, monkeypatch) -> None:
    config = changed(IMAGES, train={"epochs": 6, "checkpoint_every": 4})
    whole = go(config, tmp_path / "whole").folder
    broken = killed_at(monkeypatch, config, tmp_path / "broken", 7, 18)
    go(None, tmp_path, resume=broken)
    same_run(whole, broken)


@pytest.mark.parametrize("split", [1, 9, 17])
def test_n_steps_and_m_more_are_n_plus_m(tmp_path: Path, split: int) -> None:
    """Lengthening: nothing of the shorter run's end may show, neither its last evaluation nor its last log line."""
    train = {"epochs": None, "steps": 40, "eval_every": 2}
    config = changed(NET, optimizer={"schedule": None}, train=train)
    whole = go(config, tmp_path).folder
    first = go(changed(config, train={"steps": split}), tmp_path).folder
    assert [line["event"] for line in lines(first)][-2:] == ["eval", "final"]
    go(None, tmp_path, resume=first, overrides={"train.steps": 40})
    same_run(whole, first)
    assert "steps: 40" in (first / "config.yaml").read_text()


def test_early_stopping_goes_on_where_it_was(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(Checkpointing, "MIN_SECONDS", 0.0)
    stopping = {"metric": "cross_entropy", "patience": 2}
    config = changed(NET, model={"dropout": 0.0, "hidden": [64]}, train={"epochs": 300, "early_stopping": stopping})
    whole = go(config, tmp_path / "whole").folder
    end = json.loads((whole / "result.json").read_text())["step"]
    broken = killed_at(monkeypatch, config, tmp_path / "broken", end - 3)
    go(None, tmp_path, resume=broken)
    same_run(whole, broken)
    # It stays stopped, and goes on with more patience.
    assert go(None, tmp_path, resume=whole).metrics == RunFolder(whole).read_result()["metrics"]
    go(None, tmp_path, resume=whole, overrides=["train.early_stopping.patience=4"])
    patient = go(changed(config, train={"early_stopping": {**stopping, "patience": 4}}), tmp_path / "patient").folder
    same_run(whole, patient)


def test_killed_after_the_last_step_only_the_end_is_done_again(tmp_path: Path, monkeypatch) -> None:
    whole = go(NET, tmp_path / "whole").folder

    def dies(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("dlcourse.experiment.training_run.write_predictions", dies)
        patch.setattr("dlcourse.experiment.training_run.Run._fail", lambda *_: None)
        with pytest.raises(Killed):
            go(NET, tmp_path / "broken")
    (broken,) = (tmp_path / "broken/net").iterdir()
    assert lines(broken)[-1]["event"] == "final"
    go(None, tmp_path, resume=broken)
    same_run(whole, broken)


def test_a_closed_form_goes_on_too(tmp_path: Path, monkeypatch) -> None:
    whole = go(LINE, tmp_path / "whole").folder
    monkeypatch.setattr("dlcourse.experiment.training_run.Run._fail", lambda *_: None)
    with monkeypatch.context() as patch:
        patch.setattr("dlcourse.experiment.training_run.write_predictions", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            go(LINE, tmp_path / "broken")
    (broken,) = (tmp_path / "broken/line").iterdir()
    go(None, tmp_path, resume=broken)
    same_run(whole, broken)


def test_a_finished_run_says_so_and_is_left_alone(tmp_path: Path, capsys) -> None:
    folder = go(LINE, tmp_path).folder
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "log.txt"}
    result = run(resume=folder, plots=False)
    assert "is finished (step 1)" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in before} == before
    assert result.metrics["test"] == RunFolder(folder).read_result()["metrics"]["test"]
    assert result.estimates["slope"] == pytest.approx(4.2, abs=0.3)
    assert not result.model.training


def test_the_best_checkpoint_can_be_gone_on_from(tmp_path: Path) -> None:
    whole = go(NET, tmp_path / "whole").folder
    other = go(NET, tmp_path / "other").folder
    best = other / "checkpoints/best.safetensors"
    assert 0 < read(best).state["step"] < 120
    go(None, tmp_path, resume=best)
    same_run(whole, other)


def test_a_damaged_last_checkpoint_is_said_and_the_previous_one_used(tmp_path: Path, monkeypatch, capsys) -> None:
    config = changed(NET, train={"checkpoint_every": 20})
    whole = go(config, tmp_path / "whole").folder
    broken = killed_at(monkeypatch, config, tmp_path / "broken", 70)
    last = broken / "checkpoints/last.safetensors"
    damaged = bytearray(last.read_bytes())
    damaged[1000] ^= 1
    last.write_bytes(damaged)
    run(resume=broken, plots=False)
    out = capsys.readouterr().out
    assert "last.safetensors: damaged" in out and "going on from previous.safetensors, step 40" in out
    same_run(whole, broken)


@pytest.mark.parametrize("early", [False, True])
def test_a_finished_run_whose_last_checkpoint_is_damaged_is_mended(tmp_path: Path, capsys, early: bool) -> None:
    stopping = {"metric": "cross_entropy", "patience": 2} if early else None
    config = changed(NET, train={"checkpoint_every": 20, "early_stopping": stopping, "epochs": 60 if early else 20})
    whole = go(config, tmp_path / "whole").folder
    broken = go(config, tmp_path / "broken").folder
    last = broken / "checkpoints/last.safetensors"
    last.write_bytes(last.read_bytes()[:-1])
    run(resume=broken, plots=False)
    out = capsys.readouterr().out
    assert "going on from previous.safetensors" in out and "is finished" not in out
    same_run(whole, broken)
    run(resume=broken, plots=False)
    assert "is finished" in capsys.readouterr().out


def test_only_damaged_checkpoints_are_one_clear_error(tmp_path: Path, monkeypatch) -> None:
    broken = killed_at(monkeypatch, changed(NET, train={"checkpoint_every": 20}), tmp_path, 70)
    for name in ("last", "previous"):
        (broken / f"checkpoints/{name}.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match="no checkpoint to go on from"):
        go(None, tmp_path, resume=broken)


def test_a_resumed_run_may_write_its_checkpoints_at_other_steps(tmp_path: Path, monkeypatch) -> None:
    config = changed(NET, train={"checkpoint_every": 10})
    whole = go(config, tmp_path / "whole").folder
    broken = killed_at(monkeypatch, config, tmp_path, 30)
    written = []
    with monkeypatch.context() as patch:
        patch.setattr(Checkpointing, "_save", noted(Checkpointing._save, written))
        go(None, tmp_path, resume=broken, overrides={"train.checkpoint_every": 50})
    assert written == [50, 100, 120]
    assert load(broken / "config.yaml")["train.checkpoint_every"] == 50
    assert lines(whole) == lines(broken)
    before = content(broken)  # it has ended, and nothing is left to write
    go(None, tmp_path, resume=broken, overrides={"train.checkpoint_every": 7})
    assert content(broken) == before


def noted(save, steps: list[int]):
    """A checkpoint's writing that notes the step."""

    def save_and_note(self, trainer) -> None:
        steps.append(trainer.step)
        save(self, trainer)

    return save_and_note


def test_a_resumed_run_keeps_its_config(tmp_path: Path, monkeypatch) -> None:
    broken = killed_at(monkeypatch, changed(NET, train={"checkpoint_every": 10}), tmp_path, 30)
    with pytest.raises(ConfigError, match=r"optimizer.lr: a resumed run keeps its config; only .* changed"):
        go(None, tmp_path, resume=broken, overrides={"optimizer.lr": 1.0})
    with pytest.raises(ConfigError, match=r"train.epochs: may only be raised: it was 20, got 3"):
        go(None, tmp_path, resume=broken, overrides=["train.epochs=3"])
    with pytest.raises(UserError, match="no other name"):
        go(None, tmp_path, resume=broken, name="other")
    config = broken / "config.yaml"
    config.write_text(config.read_text().replace("lr: 0.02", "lr: 0.03"))
    with pytest.raises(CheckpointError, match=r"optimizer.lr is 0.03, trained with 0.02; restore it"):
        go(None, tmp_path, resume=broken)


def test_the_config_may_be_named_again_if_it_is_the_same(tmp_path: Path, monkeypatch) -> None:
    config = changed(NET, optimizer={"schedule": None})
    whole = go(changed(config, train={"epochs": 22}), tmp_path / "whole").folder
    broken = killed_at(monkeypatch, changed(config, train={"checkpoint_every": 10}), tmp_path / "broken", 30)
    with pytest.raises(ConfigError) as caught:
        go(changed(config, model={"dropout": 0.3}, seed=6), tmp_path, resume=broken)
    assert [str(problem) for problem in caught.value.problems] == [
        "model.dropout: 0.3, but the run to resume has 0.2",
        "seed: 6, but the run to resume has 5",
    ]
    go(changed(config, train={"epochs": 22}), tmp_path, resume=broken)
    same_run(whole, broken)
    # One that asks for less is the same experiment too, and shortens nothing.
    assert go(config, tmp_path, resume=broken).history[-1]["epoch"] == 22


def test_a_run_of_an_earlier_version_whose_config_knew_fewer_keys_goes_on(tmp_path: Path, monkeypatch) -> None:
    config = changed(NET, train={"checkpoint_every": 10})
    whole = go(config, tmp_path / "whole").folder
    from dlcourse.experiment import experiment

    with monkeypatch.context() as patch:  # the version that did not know data.augment yet

        def fewer(data: dict) -> str:
            return config_hash({**data, "data": {k: v for k, v in data["data"].items() if k != "augment"}})

        patch.setattr(experiment, "config_hash", fewer)
        broken = killed_at(monkeypatch, config, tmp_path / "broken", 30)
    file = broken / "config.yaml"
    file.write_text(file.read_text().replace("  augment: null\n", ""))
    go(None, tmp_path, resume=broken)
    assert lines(whole) == lines(broken)


def test_other_data_than_before_are_refused(tmp_path: Path, monkeypatch) -> None:
    import numpy as np

    data = tmp_path / "data.csv"
    rows = np.random.default_rng(0).normal(size=(40, 3))
    np.savetxt(data, rows, delimiter=",", header="a,b,y", comments="")
    config = {
        **changed(LINE, name="own", optimizer={"name": "sgd", "lr": 1e-3}, train={"epochs": 9, "checkpoint_every": 1}),
        "data": {"name": "csv", "path": str(data), "target": "y", "split": {"val": 0.2}},
    }
    broken = killed_at(monkeypatch, config, tmp_path / "runs", 4)
    np.savetxt(data, 2 * rows, delimiter=",", header="a,b,y", comments="")
    before = content(broken)
    for overrides in ({}, {"train.epochs": 12}):
        with pytest.raises(ChangedDataError, match=r"train still has 32 samples, but others or with other values; val"):
            go(None, tmp_path, resume=broken, overrides=overrides)
    np.savetxt(data, rows[:-3], delimiter=",", header="a,b,y", comments="")
    with pytest.raises(ChangedDataError, match=r"data.csv.*train had 32 samples, now 30; val had 8 samples, now 7"):
        go(None, tmp_path, resume=broken)
    assert content(broken) == before
    np.savetxt(data, rows, delimiter=",", header="a,b,y", comments="")
    assert go(None, tmp_path, resume=broken).history[-1]["epoch"] == 9


def test_a_checkpoint_of_an_earlier_version_is_gone_on_from(tmp_path: Path, monkeypatch) -> None:
    """A field of its data had another name, another was not there yet: neither is a change of the data."""
    from dlcourse.training.input_spec import InputSpec

    config = changed(NET, train={"epochs": 3, "checkpoint_every": 1})
    whole = go(config, tmp_path / "whole")

    def earlier(self: InputSpec) -> dict:
        state = asdict(self)
        encoder = {key: state["encoder"][key] for key in ("delimiter", "columns")}
        return (
            {"symbols": state.pop("tokens")} | {k: v for k, v in state.items() if k != "largest"} | {"encoder": encoder}
        )

    with monkeypatch.context() as patch:
        patch.setattr(InputSpec, "to_json", earlier)
        broken = killed_at(patch, config, tmp_path / "runs", 4)
    same_run(go(None, tmp_path, resume=broken).folder, whole.folder)


def content(run: Path) -> dict[Path, bytes]:
    """Every file of a run, to see that nothing was written."""
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("schedule", "refused"),
    [
        ("cosine", True),
        ("one_cycle", True),
        ("constant", False),
        ({"name": "step", "step_size": 3}, False),
        ({"name": "cosine", "warmup": 500}, False),  # the steps taken all warm up, in a longer training too
    ],
    ids=str,
)
def test_a_schedule_that_is_spread_over_the_training_cannot_be_extended(
    tmp_path: Path, schedule: str | dict, refused: bool
) -> None:
    config = changed(NET, optimizer={"schedule": schedule}, train={"epochs": 2})
    run = go(config, tmp_path).folder
    before = content(run)
    if not refused:
        go(None, tmp_path, resume=run, overrides={"train.epochs": 3})
        return
    with pytest.raises(ConfigError, match=r"spread over .*12 steps.*18.*dlcourse run .*config.yaml train.epochs=3"):
        go(None, tmp_path, resume=run, overrides={"train.epochs": 3})
    with pytest.raises(ConfigError, match=r"spread over the whole training"):
        go(changed(config, train={"epochs": 3}), tmp_path, resume=run)
    assert content(run) == before
    file = run / "config.yaml"
    file.write_text(file.read_text().replace("epochs: 2", "epochs: 3"))
    (run / "result.json").unlink()
    with pytest.raises(ConfigError, match=r"spread over the whole training"):
        go(None, tmp_path, resume=run)
    go(config, tmp_path)  # a new run is free to


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    folder = go(LINE, tmp_path).folder
    with RunFolder(folder).lock(), pytest.raises(UserError, match="another process is running"):
        go(None, tmp_path, resume=folder)


def test_an_interrupted_run_goes_on(tmp_path: Path, monkeypatch) -> None:
    import os
    import signal

    whole = go(NET, tmp_path / "whole").folder
    real = TrainStep.__call__

    def step(self, x, y):
        if self.step == 46:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(self, x, y)

    with monkeypatch.context() as patch:
        patch.setattr(TrainStep, "__call__", step)
        with pytest.raises(Interrupted) as caught:
            go(NET, tmp_path / "broken")
    assert caught.value.exit_code == 143
    (broken,) = (tmp_path / "broken/net").iterdir()
    assert RunFolder(broken).read_result()["status"] == "interrupted"
    assert read(broken / "checkpoints/last.safetensors").state["step"] == 47
    go(None, tmp_path, resume=broken)
    same_run(whole, broken)


def test_a_sweep_is_resumed_by_its_own_command(tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text("{}")
    with pytest.raises(UserError, match=f"dlcourse sweep --resume {tmp_path}"):
        go(None, tmp_path, resume=tmp_path)
