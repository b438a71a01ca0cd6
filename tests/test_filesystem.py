"""File systems without locks, without fsync, without hard links: one note, and the work goes on."""

import errno
import fcntl
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import cli, filesystem
from dlcourse.training.atomic import write_output
from tests.experiment.samples import NET, changed, only_run, write

LACKING = [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL]


@pytest.fixture(autouse=True)
def nothing_said_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystem, "_noted", set())


def refuse(code: int, when: Callable[..., bool] = lambda *_: True, real: Callable | None = None) -> Callable:
    def call(*arguments: object, **more: object) -> object:
        if when(*arguments):
            raise OSError(code, os.strerror(code))
        return real(*arguments, **more)

    return call


def is_folder(descriptor: int) -> bool:
    return stat.S_ISDIR(os.fstat(descriptor).st_mode)


def train(tmp_path: Path, capsys) -> tuple[int, str]:
    config = changed(NET, train={"epochs": 2, "checkpoint_every": 3})
    code = cli.main(["run", str(write(tmp_path, config)), "--out", str(tmp_path / "runs"), "--quiet", "--no-plots"])
    return code, capsys.readouterr().err


def lacks(what: str, message: str) -> bool:
    return message.count(f"its file system has no {what}") == 1 and message.count("dlcourse: note:") == message.count(
        "\n"
    )


@pytest.mark.parametrize("code", LACKING)
def test_without_locks(code: int, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(fcntl, "flock", refuse(code))
    done, message = train(tmp_path, capsys)
    assert done == 0 and lacks("locks", message) and str(tmp_path) in message
    run = only_run(tmp_path / "runs")
    hidden = run.parent / f".{run.name}.999999999"  # cannot be known to be abandoned
    hidden.mkdir()
    (hidden / ".lock").write_bytes(b"")
    assert cli.main(["run", "--resume", str(run)]) == 0
    assert hidden.is_dir()  # nothing that another process may be filling is removed


@pytest.mark.parametrize("code", [*LACKING, errno.EBADF])
def test_folders_that_refuse_fsync(code: int, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(os, "fsync", refuse(code, is_folder, os.fsync))
    done, message = train(tmp_path, capsys)
    assert done == 0 and lacks("fsync of folders", message)


@pytest.mark.parametrize("code", LACKING)
def test_nothing_takes_fsync(code: int, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(os, "fsync", refuse(code))
    done, message = train(tmp_path, capsys)
    assert done == 0 and lacks("fsync of files", message) and "no fsync of folders" in message


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS])
def test_without_hard_links_the_previous_checkpoint_is_a_copy(code: int, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(os, "link", refuse(code))
    assert train(tmp_path, capsys) == (0, "")
    previous = only_run(tmp_path / "runs") / "checkpoints" / "previous.safetensors"
    assert previous.stat().st_nlink == 1 and previous.stat().st_size


@pytest.mark.parametrize(
    ("module", "name", "code", "warned"),
    [
        (os, "fsync", errno.EIO, "last.safetensors: Input/output error"),
        (os, "fsync", errno.ENOSPC, "No space left on device"),
        (os, "replace", errno.EXDEV, "Invalid cross-device link"),
        (fcntl, "flock", errno.EIO, "Input/output error"),
    ],
)
def test_what_is_broken_is_one_line_that_names_the_file(
    module, name: str, code: int, warned: str, tmp_path: Path, monkeypatch, capsys
) -> None:
    def large(descriptor: int) -> bool:
        return not is_folder(descriptor) and "checkpoints" in os.readlink(f"/proc/self/fd/{descriptor}")

    when = large if name == "fsync" else lambda *_: True
    monkeypatch.setattr(module, name, refuse(code, when, getattr(module, name)))
    done, message = train(tmp_path, capsys)
    assert done == 1 and message.count("\n") == 1
    assert message.startswith(f"dlcourse: error: cannot write {tmp_path}") and warned in message


def test_a_write_that_fails_names_its_file(tmp_path: Path, capsys) -> None:
    with pytest.raises(OSError) as caught, filesystem.naming(tmp_path / "a"), open(tmp_path / "b", "w"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.filename == str(tmp_path / "a")
    if Path("/dev/full").exists():
        assert cli.main(["init", "rent_line", "--force", "--to", "/dev/full"]) == 1
        assert capsys.readouterr().err == "dlcourse: error: /dev/full: No space left on device\n"


def test_memory_that_runs_out_in_a_checkpoint_leaves_the_one_before(tmp_path: Path, monkeypatch, capsys) -> None:
    from dlcourse import tensorfile
    from dlcourse.training.checkpoints import file_format

    real, count = tensorfile.pieces, []

    def pieces(*arguments):
        count.append(1)
        for piece in real(*arguments):
            yield piece
            if len(count) > 2:
                raise MemoryError

    monkeypatch.setattr(tensorfile, "pieces", pieces)
    config = changed(NET, train={"epochs": 2, "checkpoint_every": 3, "best": None}, optimizer={"schedule": None})
    code = cli.main(["run", str(write(tmp_path, config)), "--out", str(tmp_path / "runs"), "--quiet", "--no-plots"])
    message, run = capsys.readouterr().err, only_run(tmp_path / "runs")
    assert code == 1 and message.count("\n") == 1 and "that of step" in message and "is intact" in message
    assert message.startswith("dlcourse: error: out of memory while the checkpoint of step")
    assert file_format.read(run / "checkpoints" / "last.safetensors").state["step"] in (3, 6)
    assert not list((run / "checkpoints").glob(".*"))
    assert json.loads((run / "result.json").read_text())["status"] == "failed"


def test_what_the_user_names_is_written_through_a_link_and_into_a_pipe(tmp_path: Path) -> None:
    real, link, pipe = tmp_path / "real.npz", tmp_path / "link.npz", tmp_path / "pipe.csv"
    link.symlink_to(real)
    dl.save(link, {"a": np.arange(3)})
    assert link.is_symlink()
    assert dl.load(real)["a"].tolist() == [0, 1, 2]
    with pytest.raises(TypeError):
        dl.save(link, {"a": np.array([{}])})
    assert dl.load(real)["a"].tolist() == [0, 1, 2]
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_output(pipe, b"x,y\n")
    assert os.read(reader, 100) == b"x,y\n"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    write_output(Path("/dev/null"), b"x")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)  # root's rename would have replaced the device
