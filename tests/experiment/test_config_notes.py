"""Notes about configs that are right, and probably not meant."""

import json

import pytest

import dlcourse as dl
from dlcourse.cli import main
from tests.experiment.samples import NET

STEPS = 6  # of an epoch: 90 training samples in batches of 16


@pytest.mark.parametrize(
    ("warmup", "train", "noted"),
    [
        (
            1000,
            {"epochs": 2, "batch_size": 16},
            "1000 steps, and the whole training has 12: it ends while the learning",
        ),
        (STEPS, {"epochs": 1, "batch_size": 16}, f"{STEPS} steps, and the whole training has {STEPS}: "),
        (STEPS - 1, {"epochs": 1, "batch_size": 16}, None),
        (9, {"steps": 9}, "9 steps, and the whole training has 9"),
        (8, {"steps": 9}, None),
    ],
)
@pytest.mark.parametrize("name", ["cosine", "constant"])
def test_a_warm_up_that_never_ends_is_said(tmp_path, capsys, warmup: int, train: dict, noted: str, name: str) -> None:
    optimizer = {"name": "sgd", "lr": 0.1, "schedule": {"name": name, "warmup": warmup}}
    config = NET | {"optimizer": optimizer, "train": train}
    path = tmp_path / "net.yaml"
    path.write_text(json.dumps(config))
    for command in (["validate", str(path)], ["run", str(path), "--no-plots", "--out", str(tmp_path / "runs")]):
        assert main(command) == 0
        message = capsys.readouterr().out
        assert ("optimizer.schedule.warmup" in message) == (noted is not None) and (noted or "") in message


def test_a_quick_trial_of_a_long_config_says_nothing_of_its_warm_up(tmp_path, capsys) -> None:
    optimizer = {"name": "sgd", "lr": 0.1, "schedule": {"name": "cosine", "warmup": 5}}
    dl.run(NET | {"optimizer": optimizer}, out=tmp_path, fast_dev_run=True)
    assert "warmup" not in capsys.readouterr().out


def test_validate_names_a_data_file_that_is_not_there(tmp_path, capsys) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(json.dumps(NET | {"data": {"name": "csv", "path": "nofile.csv", "target": "y"}}))
    main(["validate", str(path)])
    assert "note: data.path: no data file" in capsys.readouterr().out


@pytest.mark.parametrize(("train", "noted"), [("epochs=2", True), ("steps=3", True), ("epochs=1", False)])
def test_epochs_of_a_closed_form_are_said_to_have_no_effect(capsys, train: str, noted: bool) -> None:
    assert main(["validate", "rent_line", f"train.{train}"]) == 0
    assert ("has no effect: the optimizer" in capsys.readouterr().out) == noted
