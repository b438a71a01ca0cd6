"""The script of lecture 13 on small made-up images: its table says that the frameworks agree."""

import runpy
from pathlib import Path
from typing import Any

import pytest

from dlcourse.resources import configs_folder

DATA = {"name": "synthetic_images", "samples": 300, "classes": 4, "image_size": 12, "channels": 1,
        "split": {"val": 50, "test": 50}, "normalize": "standardize"}  # fmt: skip


def test_both_frameworks_compute_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    monkeypatch.chdir(tmp_path)
    script = runpy.run_path(str(configs_folder() / "13_frameworks" / "same_net.py"))
    script["main"]({"data": DATA, "train.batch_size": 25})
    lines = [line for line in capsys.readouterr().out.splitlines()[-8:]]
    differences = [float(line.split()[-1]) for line in lines]
    assert all(found < 1e-5 for found in differences[:4] + differences[6:])
    assert all(found < 0.05 for found in differences[4:6])  # after 50 steps rounding has grown


def test_without_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(SystemExit, match="pip install torch"):
        runpy.run_path(str(configs_folder() / "13_frameworks" / "same_net.py"))
