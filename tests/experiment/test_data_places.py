"""Data files are found beside the config, and a run finds them again from any folder."""

from pathlib import Path

import pytest

from dlcourse import config
from dlcourse.errors import DataError
from dlcourse.experiment import evaluate_run, load_run, run
from dlcourse.sweeps import run_sweep

FLATS = """\
data: {name: csv, path: flats.csv, target: rent, split: {train: 0.6, test: 0.4}}
model: linear
loss: half_sse
optimizer: {name: sgd, lr: 1e-5}
metrics: [rmse]
train: {epochs: 2}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a config and its data; the current folder is another."""
    folder, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    for each in (folder, elsewhere):
        each.mkdir()
    (folder / "flats.yaml").write_text(FLATS)
    (folder / "flats.csv").write_text("size,rent\n" + "".join(f"{i},{3 * i}\n" for i in range(20)))
    monkeypatch.delenv("DLCOURSE_DATA", raising=False)
    monkeypatch.chdir(elsewhere)
    return folder


def go(path: Path | None, **more) -> Path:
    return run(path, plots=False, quiet=True, **more).folder.absolute()


@pytest.mark.parametrize("start", [".", "../project", "/"])
def test_a_run_finds_its_data_from_anywhere(project: Path, monkeypatch, tmp_path: Path, start: str) -> None:
    """Started beside the data, or with the config's path from another folder."""
    monkeypatch.chdir(start)
    folder = go(project / "flats.yaml", out=tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    metrics = evaluate_run(load_run(folder))
    assert set(metrics) == {"train", "test"}
    assert go(None, resume=folder, overrides={"train.epochs": 3}) == folder
    monkeypatch.chdir(project)
    assert go(project / "flats.yaml", resume=folder, overrides={"train.epochs": 4}) == folder


def test_the_current_folder_comes_first(project: Path) -> None:
    Path("flats.csv").write_text("size,rent\n" + "".join(f"{i},{i}\n" for i in range(10)))
    resolved = config.load(project / "flats.yaml")
    assert resolved.data["data"]["path"] == "flats.csv"
    Path("flats.csv").unlink()
    assert config.load(project / "flats.yaml").data["data"]["path"] == str(project / "flats.csv")
    (project / "test.csv").write_text("size,rent\n1,2\n")
    overridden = config.load(project / "flats.yaml", ["data.test_path=test.csv"])
    assert overridden.data["data"]["test_path"] == str(project / "test.csv")


def test_a_missing_file_is_named_with_both_places(project: Path) -> None:
    (project / "flats.csv").unlink()
    with pytest.raises(DataError) as raised:
        go(project / "flats.yaml")
    assert str(Path.cwd() / "flats.csv") in str(raised.value) and f"nor is it in {project}" in str(raised.value)


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_points_of_a_sweep_too(project: Path, jobs: int) -> None:
    text = FLATS + "sweep: {grid: {data.path: [flats.csv, more.csv]}}\n"
    (project / "sweep.yaml").write_text(text)
    (project / "more.csv").write_text("size,rent\n" + "".join(f"{i},{i}\n" for i in range(12)))
    assert run_sweep(project / "sweep.yaml", plots=False, quiet=True, jobs=jobs).status == "done"


def test_what_is_wrong_in_a_file_is_said_with_the_configs_line(project: Path) -> None:
    (project / "flats.csv").write_text("size,rent\n1,2\n2,none\nlarge,3\n")
    with pytest.raises(DataError, match=r"flats\.yaml:1: data: .*flats\.csv, row 4: "):
        go(project / "flats.yaml")
