"""A run on a GPU whose memory is too small for a batch, and what a run on a GPU took of it (``--device cuda``)."""

import gc
import re
from pathlib import Path

import pytest

from dlcourse import backend
from dlcourse.backend.cuda import blas, block_counters, pools
from dlcourse.cli import main
from dlcourse.experiment import run
from dlcourse.training.folder import RunFolder

from .samples import NET, changed, write

on_gpu = pytest.mark.skipif("config.getoption('--device') != 'cuda'", reason="for a GPU's memory (--device cuda)")


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    """The stand-in's device ends at a batch: its weights fit, 20 samples do, a batch of 64 does not."""
    fake_cupy = pytest.importorskip("tests.fake_cupy")
    ones = backend.current().xp.ones((2, 2), dtype="f")
    blas.gemm(ones, ones)  # the handle's workspace comes first
    monkeypatch.setattr(fake_cupy._Memory, "most", 4 * 512 * 20)
    # An image's 15,000 points have arrays of their own; this is about batches.
    monkeypatch.setattr("dlcourse.experiment.training_run.write_predictions", lambda *_: {})


WIDE = changed(NET, model={"hidden": [512]}, train={"epochs": 2})


@on_gpu
def test_a_batch_that_does_not_fit_ends_the_run_with_one_line(little_memory, tmp_path: Path, capsys) -> None:
    config = write(tmp_path, changed(WIDE, train={"batch_size": 64}))
    assert main(["run", str(config), "--out", str(tmp_path), "--device", "cuda", "--quiet"]) == 1
    error = capsys.readouterr().err
    assert re.fullmatch(
        r"dlcourse: error: out of memory after 0 steps with batches of 64 samples: Out of memory allocating .* bytes.*"
        r"; no checkpoint was written yet; lower train\.batch_size, or raise train\.accumulate, .*\n",
        error,
    )
    (path,) = (tmp_path / "net").iterdir()
    assert RunFolder(path).read_result()["status"] == "failed"


@on_gpu
@pytest.mark.parametrize("train", [{"batch_size": 16}, {"batch_size": 64, "accumulate": 4}])
def test_what_the_error_says_to_change_helps(little_memory, tmp_path: Path, train: dict) -> None:
    result = run(changed(WIDE, train=train), out=tmp_path, device="cuda", plots=False, quiet=True)
    assert RunFolder(result.folder).read_result()["status"] == "done"


@on_gpu
def test_run_after_run_in_one_process_takes_no_more(device: str, tmp_path: Path) -> None:
    """As a sweep or a notebook has it: each with shapes of its own, and what it captured gone with it."""
    memory = pytest.importorskip("tests.fake_cupy")._Memory
    held, streams, counters = [], [], []
    for index in range(4):
        change = {"model": {"hidden": [8 + index, 6]}, "train": {"epochs": 3, "batch_size": 10 + index}}
        run(changed(NET, **change), out=tmp_path, device="cuda", plots=False, quiet=True)
        gc.collect()
        backend.current().xp.get_default_memory_pool().free_all_blocks()
        held.append(memory.live)
        streams.append(sum(map(len, pools._streams.values())))
        counters.append(len(block_counters._counters))
    assert held[1:] == held[1:2] * 3, held
    assert streams[1:] == streams[1:2] * 3 and counters[1:] == counters[1:2] * 3


@on_gpu
def test_the_peak_counts_the_graphs_own_pool(device: str, tmp_path: Path, monkeypatch, capsys) -> None:
    def peak() -> int:
        result = run(changed(NET, train={"epochs": 2}), out=tmp_path, device="cuda", plots=False)
        return RunFolder(result.folder).read_result()["peak_memory"]["device"]

    peak()  # the first run on a device takes a workspace that later ones find there
    whole = peak()
    message = r"^peak memory: device [0-9.]+ [MG]iB, host [0-9.]+ [MG]iB$"
    assert re.search(message, capsys.readouterr().out, re.MULTILINE)
    # How many steps are one launch follows the clock, and with it a block or two of 512 bytes for their losses.
    assert abs(peak() - whole) <= 1024, "what an earlier run held was counted again"
    monkeypatch.setattr("dlcourse.backend.memory.count_pool", lambda owner, pool: None)
    assert peak() < whole
