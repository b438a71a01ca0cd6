"""Starts programs on several ranks of this machine, and what they train; ``scripts/bench --ranks`` does so too."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

PROGRAM = Path(__file__).with_name("program.py")
ROOT = PROGRAM.parents[2]
MPIRUN = shutil.which("mpirun", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
CONFIG = """
name: ranks
data: {name: synthetic_images, samples: 256, image_size: 8, split: {val: 56}}
model: {name: mlp, hidden: [16], batch_norm: true, dropout: 0.2}
loss: cross_entropy
optimizer: {name: adam, lr: 1e-2, schedule: {name: cosine}}
train: {epochs: 60, batch_size: 20, checkpoint_every: 5, eval_every: 20, log_every: 100, watch: true}
metrics: [accuracy, cross_entropy]
"""
BROKEN = """
from dlcourse.backend import collectives
from dlcourse.models import MLP
from dlcourse.registry import register

@register("model", "broken")
class Broken(MLP):
    calls = 0
    def forward(self, x):
        self.calls += self.training
        if self.calls == 5 and collectives.group().rank == 1:
            raise RuntimeError("a broken part")
        return super().forward(x)
"""
QUIETLY = "--device", "cpu", "--no-plots", "--quiet"


def write(folder: Path) -> None:
    """Put ``config.yaml`` and the component that fails on one rank, ``broken.py``, into a folder."""
    (folder / "config.yaml").write_text(CONFIG)
    (folder / "broken.py").write_text(BROKEN)


def command(ranks: int, *words: str) -> list[str]:
    """Of this Python on so many ranks."""
    return [str(MPIRUN), "--oversubscribe", "-n", str(ranks), sys.executable, *words]


def environment() -> dict[str, str]:
    """One thread a rank, which leaves its core to others while it waits."""
    as_root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    return {**os.environ, **as_root, "OMP_NUM_THREADS": "1", "OMPI_MCA_mpi_yield_when_idle": "1"}


def start(ranks: int, *words: str, cwd: Path) -> subprocess.Popen:
    """A program on so many ranks, in a group of processes of its own."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command(ranks, *words), cwd=cwd, env=environment(), start_new_session=True, **pipes)


def finished(process: subprocess.Popen, seconds: float = 120) -> str:
    """What it has printed, once it has ended.

    Raises:
        AssertionError: it does not end.
    """
    try:
        return process.communicate(timeout=seconds)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise AssertionError(f"does not end: {process.communicate()[0]}") from None


def together(ranks: int, *words: str, cwd: Path) -> tuple[int, str]:
    """The exit code of ``dlcourse WORDS`` on so many ranks, and what it printed."""
    process = start(ranks, "-m", "dlcourse", *words, cwd=cwd)
    text = finished(process)
    return process.returncode, text


def run_folder(place: Path) -> Path:
    """The folder of the one run there."""
    (folder,) = place.glob("*/*/")
    return folder


def after_checkpoint(process: subprocess.Popen, place: Path) -> Path:
    """The run's folder, once there is a checkpoint in it.

    Raises:
        AssertionError: the process ends without one.
    """
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if list(place.glob("*/*/checkpoints/latest.json")):
            return run_folder(place)
        time.sleep(0.05)
    raise AssertionError(f"no checkpoint: {finished(process)}")


def ranks_of(process: subprocess.Popen) -> list[int]:
    """The processes that mpirun started."""
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def last_line(text: str) -> str:
    """The last line that says something."""
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")
