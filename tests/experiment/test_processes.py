"""What only a process of its own can show: kills, signals, limits of the system, closed pipes."""

import json
import random
import resource
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from dlcourse.training.checkpoints.file_format import read

from .samples import LINE, NET, changed, dlcourse, only_run, same_run, start, write

LONG = changed(NET, train={"epochs": 150, "checkpoint_every": 60})  # 900 steps, about a second


def wait_for(condition, process: subprocess.Popen) -> bool:
    """Wait until the condition holds; False if the process ended before."""
    while process.poll() is None:
        if condition():
            return True
        time.sleep(0.002)
    return False


def logged(out: Path) -> int:
    """Bytes of metrics.jsonl so far."""
    found = list(out.glob("*/*/metrics.jsonl"))
    return found[0].stat().st_size if found else 0


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing happened to."""
    out = tmp_path_factory.mktemp("whole")
    code, _, err = dlcourse("run", write(out, LONG), "--out", out, "--quiet", "--no-plots")
    assert code == 0, err
    return only_run(out)


def test_killed_at_random_times_and_resumed_until_done_it_ends_bit_for_bit(tmp_path: Path, whole: Path) -> None:
    draw, kills = random.Random(1), 0
    arguments = ["run", write(tmp_path, LONG), "--out", tmp_path]
    size = (whole / "metrics.jsonl").stat().st_size
    targets = sorted(draw.randrange(1, size) for _ in range(4))
    while True:
        process = start(*arguments, "--quiet", "--no-plots")
        # From some progress on, at any moment of a few milliseconds: in a step, a save, an evaluation.
        if targets and wait_for(lambda: logged(tmp_path) > targets[0], process):
            targets.pop(0)
            time.sleep(draw.random() * 0.02)
        elif targets:
            targets.clear()
        else:
            process.wait(60)
        process.kill()
        _, err = process.communicate()
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, err
        kills += 1
        arguments = ["run", "--resume", only_run(tmp_path)]
    assert kills >= 3
    same_run(whole, only_run(tmp_path))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 138)])
def test_signals_write_a_checkpoint_and_end_with_their_code(
    tmp_path: Path, whole: Path, number: int, code: int
) -> None:
    path = write(tmp_path, changed(LONG, train={"checkpoint_every": None}))
    process = start("run", path, "--out", tmp_path, "--no-plots")
    assert wait_for(lambda: logged(tmp_path) > 3000, process)
    for each in (number, signal.SIGTERM, signal.SIGTERM):  # once more is the same request
        process.send_signal(each)
        time.sleep(0.1)  # signals that come together have no order: the system may give them to different threads
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert err.startswith("dlcourse: error: interrupted by SIG") and "Traceback" not in err
    run = only_run(tmp_path)
    assert json.loads((run / "result.json").read_text())["status"] == "interrupted"
    step = read(run / "checkpoints/last.safetensors").state["step"]
    assert f"after step {step}" in err
    assert dlcourse("run", "--resume", run, "--quiet", "--no-plots")[0] == 0
    assert (run / "checkpoints/last.safetensors").read_bytes() == (whole / "checkpoints/last.safetensors").read_bytes()


def test_a_disk_that_is_full_is_loud_and_the_previous_checkpoint_loads(tmp_path: Path) -> None:
    config = changed(NET, model={"hidden": [200, 100]}, train={"checkpoint_every": 10}, optimizer={"schedule": None})
    out = tmp_path / "out"
    arguments = ["run", write(tmp_path, config), "train.epochs=2", "--out", out, "--quiet", "--no-plots"]
    assert dlcourse(*arguments)[0] == 0
    run = only_run(out)
    last = run / "checkpoints/last.safetensors"
    good, size = last.read_bytes(), last.stat().st_size

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size - 1000, size - 1000))

    code, _, err = dlcourse("run", "--resume", run, "train.epochs=9", "--quiet", "--no-plots", preexec_fn=limit)
    assert code == 1
    assert err.strip() == f"dlcourse: error: cannot write {last}: File too large"
    assert last.read_bytes() == good
    assert json.loads((run / "result.json").read_text())["status"] == "failed"
    assert not list((run / "checkpoints").glob(".*"))
    assert dlcourse("run", "--resume", run, "--quiet", "--no-plots")[0] == 0
    assert read(last).state["step"] == 54


def test_a_log_that_cannot_be_written_is_loud_too(tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000))

    path = write(tmp_path, changed(LONG, train={"checkpoint_every": None}))
    code, _, err = dlcourse("run", path, "--out", tmp_path, "--quiet", preexec_fn=limit)
    assert code == 1
    assert err.startswith("dlcourse: error: cannot write ") and err.count("\n") == 1


def test_a_stdout_without_reader_is_no_reason_to_stop(tmp_path: Path) -> None:
    process = start("run", write(tmp_path, NET), "--out", tmp_path, "--no-plots")
    process.stdout.close()
    err = process.stderr.read()
    assert (process.wait(60), err) == (0, "")
    assert json.loads((only_run(tmp_path) / "result.json").read_text())["status"] == "done"


def test_two_runs_in_one_folder(tmp_path: Path) -> None:
    first = start("run", write(tmp_path, changed(LONG, train={"epochs": 5000})), "--out", tmp_path, "--quiet")
    assert wait_for(lambda: logged(tmp_path) > 0, first)
    code, _, err = dlcourse("run", "--resume", only_run(tmp_path))
    first.kill()
    first.communicate()
    assert code == 2 and "another process is running in this folder" in err


def test_divergence_ends_with_4(tmp_path: Path) -> None:
    config = changed(LINE, optimizer={"name": "sgd", "lr": 50.0}, train={"epochs": 100})
    code, _, err = dlcourse("run", write(tmp_path, config), "--out", tmp_path, "--quiet")
    assert code == 4
    assert err.startswith("dlcourse: error: training diverged at step") and err.count("\n") == 1
    assert err.count("a tenth of optimizer.lr") == 1
    last = only_run(tmp_path) / "checkpoints/last.safetensors"
    assert not last.exists() or all(np.isfinite(a).all() for a in read(last).arrays.values())
