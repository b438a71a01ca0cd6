"""What the tests of scripts/gpu_check share: its modules to import, and a machine whose GPU is the stand-in."""

import importlib
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.cuda_host.module import COMPILER

ROOT = Path(__file__).resolve().parents[2]
LIB = ROOT / "scripts" / "lib"


@pytest.fixture
def lib(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """``lib("gpu.parity")``: a module of scripts/lib; its processes find such modules too. All are gone afterwards."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", [str(LIB), *sys.path])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (ROOT, LIB))))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("gpu", "gpu_check", "processes"):
            del sys.modules[name]


@pytest.fixture
def task(lib) -> Callable[..., Any]:
    """``task(gpu=True, seconds=60)``: what a part is asked; ``task.noted`` has what it kept on the way."""
    part = lib("gpu.part")

    def make(gpu: bool, seconds: float = 100.0) -> Any:
        make.noted = []
        return part.Task(gpu, time.monotonic() + seconds, make.noted.append)

    return make


@pytest.fixture
def stand_in(lib, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Every Python process that is started from now on has the stand-in for CuPy, and so a GPU.

    ``stand_in("code")`` has each run some code beside.
    """
    if importlib.util.find_spec("cupy") is None:
        pytest.skip("the CuPy wheel is not installed (extra: ci)")
    if COMPILER is None:
        pytest.skip("no g++ to compile CUDA sources for the host with")
    folder = tmp_path / "at-start"
    folder.mkdir()

    def start_with(code: str = "") -> None:
        (folder / "sitecustomize.py").write_text(f"import tests.fake_cupy\n{code}\n")

    start_with()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ["PYTHONPATH"]]))
    return start_with
