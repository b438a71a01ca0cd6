"""Standard output and standard error that cannot be written: a run that is done stays done."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dlcourse import cli
from dlcourse.experiment.training_run import Run
from dlcourse.streams import show
from dlcourse.training import log
from tests.experiment.samples import LINE, only_run

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="no /dev/full on this system")


def command(tmp_path: Path) -> list[str]:
    path = tmp_path / "line.yaml"
    path.write_text(yaml.safe_dump(LINE))
    return ["run", str(path), "--out", str(tmp_path / "runs"), "--no-plots"]


def run(*arguments: str, **streams) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "dlcourse", *arguments], text=True, timeout=60, **streams)


def status(tmp_path: Path) -> str:
    result = only_run(tmp_path / "runs") / "result.json"
    return json.loads(result.read_text())["status"] if result.exists() else "not begun"


@needs_full
def test_a_full_disk_behind_stdout_is_said_and_the_run_is_done(tmp_path: Path) -> None:
    with FULL.open("w") as full:
        done = run(*command(tmp_path), stdout=full, stderr=subprocess.PIPE)
    note = "dlcourse: note: standard output cannot be written (No space left on device)"
    note += "; nothing more is written there\n"
    assert (done.returncode, done.stderr, status(tmp_path)) == (0, note, "done")


@needs_full
def test_nothing_can_be_said_anywhere_and_the_run_is_done(tmp_path: Path) -> None:
    with FULL.open("w") as full:
        done = run(*command(tmp_path), stdout=full, stderr=full)
    assert (done.returncode, status(tmp_path)) == (0, "done")


@needs_full
def test_a_command_whose_output_is_all_there_is_fails() -> None:
    with FULL.open("w") as full:
        done = run("list", stdout=full, stderr=subprocess.PIPE)
    message = "dlcourse: error: standard output: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, message)


def test_a_terminal_that_is_gone_and_the_run_is_done(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "dlcourse", *command(tmp_path)], stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    os.close(ours)  # every write fails with EIO from now on
    assert (process.wait(60), status(tmp_path)) == (0, "done")


def test_a_log_that_fails_after_the_results_are_written_leaves_them(tmp_path: Path, monkeypatch, capsys) -> None:
    real = log.Log._write

    def write(self: log.Log, lines: list[str]) -> None:
        if status(tmp_path) != "done":
            return real(self, lines)
        with log.reporting_write_errors(self.path):
            raise OSError(28, "No space left on device")

    arguments = command(tmp_path)
    monkeypatch.setattr(log.Log, "_write", write)
    assert cli.main(arguments) == 0
    err = capsys.readouterr().err
    assert err.count("dlcourse: note: cannot write") == 1 and "log.txt: No space left on device" in err
    assert status(tmp_path) == "done"


def test_an_error_after_the_results_are_written_leaves_them(tmp_path: Path, monkeypatch, capsys) -> None:
    def fail(self: Run, message: str) -> None:
        raise RuntimeError("odd")

    monkeypatch.setattr(Run, "report", fail)
    assert cli.main(command(tmp_path)) == 1
    assert status(tmp_path) == "done"


def test_a_closed_stream_is_no_reason_to_stop(tmp_path: Path, monkeypatch, capsys) -> None:
    with open(tmp_path / "out.txt", "w") as stream:
        pass
    monkeypatch.setattr(sys, "stdout", stream)
    show("a line")
    assert "standard output cannot be written" in capsys.readouterr().err
