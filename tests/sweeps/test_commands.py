"""``dlcourse sweep``, ``dlcourse run`` on a sweep, and ``dlcourse compare``, as they are typed."""

import json
from pathlib import Path

import pytest
import yaml

from dlcourse.cli import main


@pytest.fixture
def path(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(make(sweep={"grid": {"model.degree": [1, 3]}})))
    return "small.yaml"


def only_folder(tmp_path):
    (folder,) = (tmp_path / "runs" / "small").iterdir()
    return folder


@pytest.mark.parametrize("command", ["sweep", "run"])
def test_table_best_and_report(command, path, tmp_path, capsys):
    assert main([command, path]) == 0
    message = capsys.readouterr().out
    folder = only_folder(tmp_path)
    assert "best by validation mse: model.degree=" in message
    assert f"report: runs/small/{folder.name}/report.html" in message
    assert any((folder / "plots").glob("*.png"))


@pytest.mark.parametrize("command", ["sweep", "run"])
def test_quiet_prints_the_folder(command, path, tmp_path, capsys):
    assert main([command, path, "--quiet", "--no-plots"]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"runs/small/{only_folder(tmp_path).name}\n" and captured.err == ""


def test_overrides_name_and_out(path, tmp_path, capsys):
    assert main(["sweep", path, "sweep.grid.model.degree=[2]", "--name", "other", "--out", "there", "--no-plots"]) == 0
    (folder,) = (tmp_path / "there" / "other").iterdir()
    assert [each["id"] for each in json.loads((folder / "sweep.json").read_text())["points"]] == ["000-degree=2"]


@pytest.mark.parametrize("command", ["sweep", "run"])
def test_dry_run(command, path, tmp_path, capsys):
    assert main([command, path, "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "2 points"
    assert not (tmp_path / "runs").exists()


def test_run_takes_the_options_of_a_sweep_for_a_sweep_only(path, tmp_path, capsys):
    assert main(["run", path, "--jobs", "2", "--no-plots", "--quiet"]) == 0
    assert len(list((only_folder(tmp_path) / "points").iterdir())) == 2
    for option in (["--jobs", "2"], ["--dry-run"], ["--dry-run", "--fast-dev-run"]):
        assert main(["run", path, "sweep=null", *option]) == 2
        assert "this is a single run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sweep=null"], "has no sweep section"),
        (["sweep.grid.model.degre=[1]"], "did you mean 'degree'"),
        (["--jobs", "0"], "jobs: expected at least 1"),
        (["--resume", "nowhere"], "nowhere: no such folder"),
    ],
)
def test_mistakes_end_in_one_line(arguments, message, path, capsys):
    assert main(["sweep", path, *arguments]) == 2
    captured = capsys.readouterr().err
    assert message in captured and "Traceback" not in captured


def test_a_resumed_sweep_takes_key_value_as_a_run_does(path, tmp_path, capsys):
    assert main(["sweep", path, "--quiet", "--no-plots"]) == 0
    folder = str(only_folder(tmp_path))
    capsys.readouterr()
    assert main(["sweep", "--resume", folder, "device=cpu", "--no-plots"]) == 0
    assert "2 of 2 points are finished already" in capsys.readouterr().out
    assert main(["sweep", "--resume", str(Path(folder).parent), "--no-plots", "--quiet"]) == 0  # it holds no other
    assert main(["sweep", "--resume", folder, "data.samples=61", "train.batch_size=7"]) == 2
    message = capsys.readouterr().err
    assert "was started with another config: " in message and "data.samples: " in message and ", now 61" in message


def test_a_config_whose_name_holds_an_equals_sign_is_a_file(path, tmp_path, capsys):
    (tmp_path / "lr=1.yaml").write_text((tmp_path / path).read_text())
    for command in (["sweep", "--dry-run"], ["run", "--dry-run"], ["validate"]):
        assert main([command[0], "lr=1.yaml", "data.samples=61", *command[1:]]) == 0


@pytest.mark.parametrize("command", ["run", "sweep", "validate"])
def test_key_value_alone_is_no_config(command, path, capsys):
    assert main([command, "data.samples=61"]) == 2
    assert f"{command} needs a config" in capsys.readouterr().err


def test_compare(path, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    main(["sweep", path, "--quiet", "--no-plots"])
    main(["sweep", path, "--quiet", "--no-plots", "--name", "again", "data.samples=80"])
    capsys.readouterr()
    assert main(["compare", "runs", "--sort", "test.mse", "--csv", "table.csv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + 4
    assert lines[1].split()[:4] == ["run", "status", "samples", "degree"]
    assert {line.split()[0].split("/")[0] for line in lines[2:]} == {"small", "again"}
    assert len((tmp_path / "table.csv").read_text().splitlines()) == 5
    assert main(["compare", "runs", "--sort", "accuracy"]) == 2
    assert main(["compare", "nowhere"]) == 2


@pytest.mark.parametrize("command", ["run", "sweep"])
def test_a_name_that_is_none_is_refused_by_its_option(command, path, capsys):
    assert main([command, path, "--name", "a/b"]) == 2
    assert capsys.readouterr().err.startswith("dlcourse: error: --name: expected at most 100 letters")


def test_a_sweep_whose_state_is_gone_is_not_resumed_as_a_run(path, tmp_path, capsys):
    assert main(["sweep", path, "--no-plots"]) == 0
    folder = only_folder(tmp_path)
    (folder / "sweep.json").unlink()
    assert main(["run", "--resume", str(folder)]) == 2
    assert "its config has a sweep" in capsys.readouterr().err
    assert not (folder / "result.json").exists()
