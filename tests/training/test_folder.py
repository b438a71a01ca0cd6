import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dlcourse.errors import BusyError, UserError
from dlcourse.training.folder import RunFolder, fresh_path, made_whole, one_inside, remove_unfinished

from .forks import dies_at


def make(path: Path, config: str, environment: dict, result: dict | None = None) -> RunFolder:
    with RunFolder.making(path) as made:
        made.config.write_text(config)
        made.write_environment(environment)
        if result is not None:
            made.write_result(result)
    return RunFolder(path)


def create(out: Path, name: str = "exp") -> RunFolder:
    return make(fresh_path(out, name), "name: exp\n", {"python": "3"})


def test_a_new_folder_has_a_time_and_an_id_and_no_second_one_is_the_same(tmp_path: Path) -> None:
    made = [create(tmp_path) for _ in range(5)]
    assert len({folder.path for folder in made}) == 5
    for folder in made:
        assert folder.path.parent == tmp_path / "exp"
        assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{6}", folder.path.name)
        assert folder.config.read_text() == "name: exp\n"
        assert folder.read_environment() == {"python": "3"}
        assert RunFolder.open(folder.path).path == folder.path


@pytest.mark.parametrize("name", ["../../x", "/abs", "", "a/b", "x" * 300, ".hidden", "a\0b", "tail ", "a\nb"])
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="cannot be the name of a folder"):
        fresh_path(tmp_path, name)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    folder = create(tmp_path)
    with pytest.raises(UserError, match="never overwritten"):
        make(folder.path, "other", {})
    assert folder.config.read_text() == "name: exp\n"
    empty = tmp_path / "empty"
    empty.mkdir()
    assert make(empty, "config", {}).config.read_text() == "config"


def test_where_nothing_can_be_made_it_is_the_users_to_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be made there: Not a directory"):
        create(tmp_path / "file")


def test_a_folder_that_can_be_seen_is_complete_whenever_its_maker_dies(tmp_path: Path) -> None:
    moments = 0
    while dies_at(moments, lambda n=moments: make(tmp_path / str(n), "name: exp\n", {"python": "3"})):
        path = tmp_path / str(moments)
        if path.exists():
            assert RunFolder.open(path).read_environment() == {"python": "3"}
            assert RunFolder(path).checkpoints.is_dir()
        moments += 1
    assert moments >= 8


def test_opening_what_is_no_run_says_what_is_there(tmp_path: Path) -> None:
    folder = create(tmp_path)
    with pytest.raises(UserError, match="no such run folder"):
        RunFolder.open(tmp_path / "absent")
    (tmp_path / "exp" / "sweep.json").write_text("{}")
    with pytest.raises(UserError, match="is a sweep, its runs lie in"):
        RunFolder.open(tmp_path / "exp")
    (tmp_path / "exp" / "sweep.json").unlink()
    assert RunFolder.open(tmp_path / "exp").path == folder.path  # the only run in it
    shutil.copytree(folder.path, tmp_path / "exp" / "other")
    with pytest.raises(UserError, match=rf"not a run folder.*holds 2 runs, the newest is {re.escape(str(tmp_path))}"):
        RunFolder.open(tmp_path / "exp")


def test_the_one_run_or_sweep_inside_is_found(tmp_path: Path) -> None:
    run = make(fresh_path(tmp_path, "exp"), "name: exp\n", {}, {"status": "done"})
    assert {one_inside(place) for place in (tmp_path, tmp_path / "exp", run.path)} == {run.path}
    make(fresh_path(tmp_path, "other"), "name: other\n", {}, {"status": "done"})
    assert one_inside(tmp_path) == tmp_path and one_inside(tmp_path / "exp") == run.path
    assert one_inside(tmp_path / "absent") == tmp_path / "absent"


def test_two_processes_cannot_train_in_one_folder(tmp_path: Path) -> None:
    folder = create(tmp_path)
    program = (
        "import sys; from dlcourse.training.folder import RunFolder\n"
        "with RunFolder(sys.argv[1]).lock(): print('mine', flush=True); sys.stdin.read()"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(folder.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    )
    assert other.stdout.readline() == b"mine\n"
    with pytest.raises(UserError, match="another process is running in this folder"), folder.lock():
        pass
    other.kill()  # the lock goes with the process, however it ends
    other.wait()
    with folder.lock():
        pass


def test_a_damaged_result_is_said(tmp_path: Path) -> None:
    folder = create(tmp_path)
    assert folder.read_result() == {}
    folder.result.write_text("{")
    with pytest.raises(UserError, match=r"result.json: damaged"):
        folder.read_result()


def test_a_history_line_that_was_cut_short_is_left_out(tmp_path: Path) -> None:
    folder = create(tmp_path)
    assert folder.read_history() == []
    folder.metrics.write_text('{"event": "train", "step": 1}\n{"event')
    assert folder.read_history() == [{"event": "train", "step": 1}]
    folder.metrics.write_text('{"event": "train", "step": 1}\n{"st\n[1]\n{"event": "train", "step": 3}\n')
    assert [event["step"] for event in folder.read_history()] == [1, 3]


def test_what_a_killed_process_left_half_made_is_swept_up(tmp_path: Path) -> None:
    stamp, dead = "20260101T000000Z-0a1b2c", 999_999_999
    gone = [tmp_path / f"exp/.{stamp}.{dead}", tmp_path / f"exp/.003-degree=4.{dead}"]
    saved = [tmp_path / f"exp/.{stamp}.{os.getppid()}", tmp_path / "exp/.backup.1", tmp_path / f"exp/{stamp}"]
    other_host = tmp_path / f"exp/.{stamp.replace('a', 'b')}.{dead}"
    for place in (*gone, *saved, other_host):
        place.mkdir(parents=True)
        (place / "config.yaml").write_text("name: exp\n")
    (other_host / ".lock").write_text("another-machine")
    create(tmp_path)
    assert not any(place.exists() for place in gone)
    assert all(place.exists() for place in (*saved, other_host))


def test_a_folder_that_is_being_made_is_left_alone(tmp_path: Path, monkeypatch) -> None:
    with made_whole(tmp_path / "20260101T000000Z-0a1b2c") as hidden:
        monkeypatch.setattr("dlcourse.training.folder._alive", lambda pid: False)  # of a process that cannot be seen
        create(tmp_path)
        remove_unfinished(tmp_path)
        assert hidden.is_dir()


def test_two_that_make_the_same_folder(tmp_path: Path) -> None:
    with pytest.raises(BusyError, match="made it a moment ago"), made_whole(tmp_path / "a"):
        (tmp_path / "a").mkdir()
        (tmp_path / "a/config.yaml").write_text("")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_first_result_is_there_with_the_folder(tmp_path: Path) -> None:
    moments, started = 0, {"status": "running", "config_overrides": {"train.epochs": 2}}
    while dies_at(moments, lambda n=moments: make(tmp_path / str(n), "name: exp\n", {}, started)):
        if (tmp_path / str(moments)).exists():
            assert RunFolder(tmp_path / str(moments)).read_result() == started
        moments += 1
    assert moments >= 8
