"""Points in processes of their own, as ``--jobs`` runs them, and what signals do to a sweep."""

import contextlib
import errno
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml

from dlcourse import plugins
from dlcourse.errors import DlcourseError
from dlcourse.sweeps import processes, run_sweep, worker
from dlcourse.sweeps.processes import Pool, fair_share

PLUGIN = """
import os
import signal
from dlcourse.data import Dataset
from dlcourse.data.polynomial_curve import PolynomialCurve
from dlcourse.errors import DataError
from dlcourse.registry import register


@register("data", "fragile")
class Fragile:
    def __init__(self, fate: str = "fine", seed: int | None = None):
        self.fate = fate

    def load(self, seed: int) -> Dataset:
        print("a component that prints")
        if self.fate == "refuse":
            raise DataError("row 3 is odd")
        if self.fate == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        return PolynomialCurve(samples=20).load(seed)
"""

TRAINING = {
    "name": "slow",
    "data": {"name": "polynomial_curve", "samples": 200, "split": {"val": 0.2}},
    "model": {"name": "polynomial", "degree": 3},
    "loss": "mse",
    "optimizer": {"name": "sgd", "lr": 0.01},
    "metrics": ["mse"],
    "train": {"epochs": 60, "batch_size": 8, "eval_every": 10},
    "sweep": {"grid": {"optimizer.lr": [0.01, 0.02]}},
}


SLOW = """
import time
from dlcourse.training.trainer import Trainer

def slowly(trainer, advance=Trainer._advance):
    time.sleep(0.05)
    advance(trainer)

Trainer._advance = slowly
"""
"""At the start of a process: so that a signal meets a training that is quick where nothing interrupts it."""


def test_processes_give_the_same_numbers(make, tmp_path):
    swept = make(sweep={"grid": {"model.degree": [1, 3, 9]}, "resample": 3})
    here = run_sweep(swept, out=tmp_path / "here", quiet=True, plots=False)
    there = run_sweep(swept, out=tmp_path / "there", jobs=2, quiet=True, plots=False)
    assert there.exit_code == 0
    assert [each.metrics for each in there.points] == [each.metrics for each in here.points]
    assert there.resample == here.resample
    for one, other in zip(here.points, there.points, strict=True):
        warned = [(result.folder / p.folder / "config.yaml").read_text() for result, p in ((here, one), (there, other))]
        assert warned[0] == warned[1]


def test_a_process_that_fails_or_dies_costs_one_point(make, tmp_path, capfd):
    plugin = tmp_path / "fragile.py"
    plugin.write_text(PLUGIN)
    plugins.load(plugin)
    fates = ["fine", "refuse", "die", "fine too", "fine three"]
    swept = make(data={"name": "fragile", "split": {"val": 0.2}}, sweep={"grid": {"data.fate": fates}})
    result = run_sweep(swept, out=tmp_path / "runs", jobs=2, quiet=True, plots=False)
    assert [each.status for each in result.points] == ["done", "failed", "failed", "done", "done"]
    assert result.points[1].error == "row 3 is odd"
    assert result.points[2].error == "its process ended by signal SIGKILL; the system may have been out of memory"
    assert "point 002-fate=die failed: its process ended" in capfd.readouterr().err
    assert result.exit_code == 1


def test_threads_are_shared_fairly():
    assert fair_share(4, {"PATH": "x"}, 16) == {
        "PATH": "x",
        "OMP_NUM_THREADS": "4",
        "OPENBLAS_NUM_THREADS": "4",
        "MKL_NUM_THREADS": "4",
    }
    asked = fair_share(2, {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "64"}, 4)
    assert (asked["OMP_NUM_THREADS"], asked["OPENBLAS_NUM_THREADS"], asked["MKL_NUM_THREADS"]) == ("1", "2", "2")
    assert fair_share(8, {}, 2)["OMP_NUM_THREADS"] == "1"


def test_leaving_the_loop_ends_the_processes():
    pool = Pool(2)
    for kind, _, _ in pool.run([{"never": "asked for"}] * 4):
        if kind == "started":
            break
    assert not pool._workers


def start(tmp_path, *options):
    (tmp_path / "slow.yaml").write_text(yaml.safe_dump(TRAINING))
    command = [sys.executable, "-m", "dlcourse", "sweep", str(tmp_path / "slow.yaml"), "--out", str(tmp_path / "runs")]
    (tmp_path / "at-start").mkdir()
    (tmp_path / "at-start" / "sitecustomize.py").write_text(SLOW)
    paths = tmp_path / "at-start", Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    return subprocess.Popen(
        [*command, "--no-plots", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def wait_for_training(tmp_path, process, points):
    """Until so many points have written lines of training."""
    for _ in range(1200):
        lines = (tmp_path / "runs").glob("slow/*/points/*/metrics.jsonl")
        if len([each for each in lines if each.stat().st_size]) >= points:
            return next((tmp_path / "runs" / "slow").iterdir())
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    raise AssertionError("no point has begun to train")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The sweep as it is if nothing interrupts it."""
    return run_sweep(TRAINING, out=tmp_path_factory.mktemp("whole"), quiet=True, plots=False)


@pytest.mark.parametrize(
    ("options", "signum", "code", "statuses"),
    [
        ([], signal.SIGINT, 130, ["interrupted", "pending"]),
        (["--jobs", "2"], signal.SIGINT, 130, ["interrupted", "interrupted"]),
        (["--jobs", "2"], signal.SIGTERM, 143, ["interrupted", "interrupted"]),
    ],
)
def test_a_signal_saves_every_point_and_resuming_is_exact(whole, tmp_path, options, signum, code, statuses):
    process = start(tmp_path, *options)
    folder = wait_for_training(tmp_path, process, points=len([each for each in statuses if each == "interrupted"]))
    process.send_signal(signum)
    _, message = process.communicate(timeout=60)
    assert process.returncode == code, message
    assert f"--resume {folder}" in message and "Traceback" not in message
    state = json.loads((folder / "sweep.json").read_text())
    assert [each["status"] for each in state["points"]] == statuses
    assert (folder / "points" / "000-lr=0.01" / "checkpoints" / "last.safetensors").is_file()
    resumed = run_sweep(TRAINING, resume=folder, quiet=True, plots=False)
    assert [each.metrics for each in resumed.points] == [each.metrics for each in whole.points]
    assert [each.folder for each in resumed.points] == [each.folder for each in whole.points]


def test_a_cluster_signals_every_process_of_a_job_and_more_than_once(whole, tmp_path):
    process = start(tmp_path, "--jobs", "2")
    folder = wait_for_training(tmp_path, process, points=2)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    every = [int(each) for task in children.parent.parent.iterdir() for each in (task / "children").read_text().split()]
    assert len(every) == 2
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGTERM):
        for pid in (*every, process.pid):
            with contextlib.suppress(ProcessLookupError):  # it may have ended by the signal before
                os.kill(pid, number)
        time.sleep(0.1)  # signals that come together have no order: the system may give them to different threads
    _, message = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in message, message
    assert f"--resume {folder}" in message
    state = json.loads((folder / "sweep.json").read_text())
    assert [each["status"] for each in state["points"]] == ["interrupted", "interrupted"]
    assert len(list(folder.glob("points/*/checkpoints/last.safetensors"))) == 2
    resumed = run_sweep(TRAINING, resume=folder, quiet=True, plots=False)
    assert [each.metrics for each in resumed.points] == [each.metrics for each in whole.points]


def test_processes_do_not_outlive_a_killed_parent(tmp_path):
    process = start(tmp_path, "--jobs", "2")
    folder = wait_for_training(tmp_path, process, points=2)
    process.kill()
    process.communicate()
    results = [folder / "points" / name / "result.json" for name in ("000-lr=0.01", "001-lr=0.02")]
    for _ in range(600):
        if all(json.loads(each.read_text())["status"] == "interrupted" for each in results):
            return
        time.sleep(0.05)
    raise AssertionError([each.read_text() for each in results])


def run_with(make, tmp_path, capfd):
    swept = make(sweep={"grid": {"model.degree": [1, 2, 3, 4]}})
    result = run_sweep(swept, out=tmp_path / "runs", jobs=2, quiet=True, plots=False)
    written = json.loads((result.folder / "sweep.json").read_text())
    assert (result.status, written["status"], result.exit_code) == ("failed", "failed", 1)
    return result, capfd.readouterr().err


@pytest.mark.parametrize(
    ("error", "warned"),
    [
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "Too many open files"),
        (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), "Cannot allocate memory"),
        (OSError(errno.ENOEXEC, os.strerror(errno.ENOEXEC)), "Exec format error"),
        (ValueError("embedded null byte"), "ValueError: embedded null byte"),
    ],
)
def test_a_process_that_cannot_be_started_once_fails_its_point_alone(error, warned, make, tmp_path, monkeypatch, capfd):
    started, real = [], subprocess.Popen

    def refuse_once(*args, **settings):
        if "-P" not in args[0]:  # git and others
            return real(*args, **settings)
        started.append(1)
        if len(started) == 1:
            raise error
        return real(*args, **settings)

    monkeypatch.setattr(subprocess, "Popen", refuse_once)
    result, message = run_with(make, tmp_path, capfd)
    assert sorted(each.status for each in result.points) == ["done", "done", "done", "failed"]
    assert f"no process could be started for it: {warned}" in message and "Traceback" not in message
    assert "1 of 4 points failed:" in message


def test_an_interpreter_that_cannot_be_executed_fails_every_point(make, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    (tmp_path / "python").write_text("no program")
    result, message = run_with(make, tmp_path, capfd)
    assert {each.status for each in result.points} == {"failed"} and result.best is None
    assert message.count("Permission denied") == 8  # each at once and at the end


def test_an_answer_that_is_no_json_fails_its_point(make, tmp_path, monkeypatch, capfd):
    ask = processes._ask
    answers = iter([ValueError("Expecting value: line 1"), None, None, None])

    def garbled(process, content):
        error = next(answers)
        if error:
            raise error
        return ask(process, content)

    monkeypatch.setattr(processes, "_ask", garbled)
    result, message = run_with(make, tmp_path, capfd)
    assert sorted(each.status for each in result.points) == ["done", "done", "done", "failed"]
    assert "its process could not be talked to: ValueError: Expecting value" in message


def test_threads_that_cannot_be_started_are_done_without(monkeypatch):
    class Reluctant(threading.Thread):
        def start(self):
            raise RuntimeError("can't start new thread")

    done = threading.Thread(target=int)
    assert processes._started([done, Reluctant()]) == [done]
    with pytest.raises(DlcourseError, match="starts no more threads"):
        processes._started([Reluctant(), Reluctant()])


def test_a_worker_without_a_second_thread_reads_its_tasks_itself(monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", refuse)
    monkeypatch.setattr("sys.stdin", io.StringIO('{"a": 1}\n{"a": 2}\n'))
    assert list(worker._messages(threading.Event())) == [{"a": 1}, {"a": 2}]


def test_a_plugin_that_changed_between_two_sittings_of_a_sweep_is_said(make, tmp_path):
    from tests.experiment.samples import dlcourse

    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "from dlcourse.models.linear import LinearModel\nfrom dlcourse.registry import register\n\n\n"
        "@register('model', 'mine')\nclass Mine(LinearModel):\n    '''A line.'''\n\n"
        "    def __init__(self, in_shape: tuple[int, ...], out_features: int):\n"
        "        super().__init__(in_shape, out_features)\n"
    )
    grid = {"grid": {"data.samples": [30, 31]}}
    config = make(model={"name": "mine"}, sweep=grid)
    (tmp_path / "c.yaml").write_text(json.dumps(config))
    out = ["--out", tmp_path / "runs", "--no-plots", "--plugin", plugin]
    assert dlcourse("sweep", tmp_path / "c.yaml", *out)[0] == 0
    (folder,) = (tmp_path / "runs/small").iterdir()
    shutil.rmtree(folder / "points/001-samples=31")
    plugin.write_text(plugin.read_text() + "# edited\n")
    code, message, err = dlcourse("sweep", "--resume", folder, "--no-plots", "--jobs", 2, "--plugin", plugin)
    assert code == 0 and f"{plugin} was changed since point 000-samples=30 was run" in message, err


def test_a_process_whose_orders_cannot_be_read_ends():
    command = [sys.executable, "-c", "from dlcourse.sweeps.worker import main; main()"]
    orders, here = '{"plugins": []}\n{"cut', Path(__file__).parents[2]
    assert subprocess.run(command, input=orders, text=True, capture_output=True, timeout=60, cwd=here).stdout == ""
