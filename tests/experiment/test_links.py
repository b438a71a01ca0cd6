"""A run folder that came from another person writes nowhere but into itself."""

import os
import shutil
from pathlib import Path

import pytest

from dlcourse.cli import main
from dlcourse.experiment import run

from .samples import LINE, changed

TRAIN = {"epochs": 2, "checkpoint_every": 3, "log_every": 1}
CONFIG = changed(LINE, optimizer={"name": "sgd", "lr": 1e-3}, train=TRAIN)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(CONFIG, out=tmp_path_factory.mktemp("whole"), quiet=True).folder


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Files of the user's own."""
    place = tmp_path / "own"
    (place / "folder").mkdir(parents=True)
    (place / "file").write_text("mine\n")
    (place / "folder/last.safetensors").write_text("mine\n")
    return place


REPLACED = [
    "report.html",
    ".report.html.partial",
    "result.json",
    ".result.json.partial",
    ".config.yaml.partial",
    ".predictions.npz.partial",
    "predictions.npz",
    "plots/loss.png",
    "plots/.loss.png.partial",
    "plots/.residuals.png.partial",
    "checkpoints/.last.safetensors.partial",
    "checkpoints/.previous.safetensors.partial",
    "checkpoints/.latest.json.partial",
    "checkpoints/latest.json",
    "checkpoints/best.safetensors",
]
REFUSED = ["log.txt", ".lock", "plots", "checkpoints"]


def put_link(path: Path, outside: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
        path.symlink_to(outside / "folder")
    else:
        path.unlink(missing_ok=True)
        path.symlink_to(outside / "file")


def untouched(outside: Path) -> bool:
    same = [(outside / name).read_text() == "mine\n" for name in ("file", "folder/last.safetensors")]
    return all(same) and os.listdir(outside / "folder") == ["last.safetensors"]


def test_links_in_place_of_files_are_replaced(whole: Path, tmp_path: Path, outside: Path) -> None:
    copy = Path(shutil.copytree(whole, tmp_path / "copy"))
    for name in REPLACED:
        put_link(copy / name, outside)
    assert main(["run", "--resume", str(copy), "train.epochs=3"]) == 0
    assert untouched(outside)
    assert not [path for path in copy.rglob("*") if path.is_symlink() and path.suffix != ".png"]
    put_link(copy / "report.html", outside)
    put_link(copy / ".report.html.partial", outside)
    put_link(copy / "plots/.loss.png.partial", outside)
    assert main(["report", str(copy)]) == 0
    assert untouched(outside)


@pytest.mark.parametrize("name", REFUSED)
def test_nothing_is_written_through_a_link(whole: Path, tmp_path: Path, outside: Path, name: str, capsys) -> None:
    copy = Path(shutil.copytree(whole, tmp_path / "copy"))
    path = copy / name
    put_link(path, outside)
    assert main(["run", "--resume", str(copy), "train.epochs=3", "--no-plots"]) == 2
    error = capsys.readouterr().err
    assert f"{path}: expected" in error and "got a symbolic link" in error and error.count("\n") == 1
    if name == "plots":
        assert main(["report", str(copy)]) == 2
        assert f"{path}: expected a folder, got a symbolic link" in capsys.readouterr().err
    assert untouched(outside)


def test_a_link_to_a_place_that_is_not_there_makes_nothing(whole: Path, tmp_path: Path, capsys) -> None:
    for name, code in (("log.txt", 2), ("metrics.jsonl", 0)):
        copy = Path(shutil.copytree(whole, tmp_path / name))
        (copy / name).unlink()
        (copy / name).symlink_to(tmp_path / "new")
        assert main(["run", "--resume", str(copy), "train.epochs=3", "--no-plots"]) == code
        assert not (tmp_path / "new").exists()


def test_what_would_block_for_ever_is_refused(whole: Path, tmp_path: Path, capsys) -> None:
    copy = Path(shutil.copytree(whole, tmp_path / "copy"))
    (copy / "log.txt").unlink()
    os.mkfifo(copy / "log.txt")
    assert main(["run", "--resume", str(copy), "train.epochs=3", "--no-plots"]) == 2
    assert "log.txt: expected an ordinary file, got something else" in capsys.readouterr().err


def test_a_run_may_be_reached_by_a_link_of_ones_own(whole: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(whole, tmp_path / "copy"))
    (tmp_path / "latest").symlink_to(copy)
    assert main(["run", "--resume", str(tmp_path / "latest"), "train.epochs=3", "--no-plots"]) == 0
