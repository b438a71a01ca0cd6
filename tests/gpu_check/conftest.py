"""What the tests of scripts/gpu_check share: its modules to import, and a machine whose GPU is the stand-in."""

import contextlib
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

HERE = Path(__file__).parent
ROOT = Path(__file__).resolve().parents[2]
LIB = ROOT / "scripts" / "lib"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip these tests outside CI: they start many processes and take a minute, for a script that few users start."""
    if "ci" not in os.environ.get("DLCOURSE_EXTRAS", "").replace(",", " ").split():
        reason = "tests of scripts/gpu_check are for CI (DLCOURSE_EXTRAS=ci)"
        for item in items:
            if item.path.is_relative_to(HERE):
                item.add_marker(pytest.mark.skip(reason=reason))


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
def gone() -> Callable[[str], bool]:
    """``gone("a text")``: whether every process with the text in its command line ends; a kill takes a moment."""

    def look(text: str) -> bool:
        if not Path("/proc/self/cmdline").exists():
            pytest.skip("no /proc to look for processes in")
        ends = time.monotonic() + 10
        while found := _with_text(text):
            if time.monotonic() > ends:
                return False
            time.sleep(0.05)
        return not found

    return look


def _with_text(text: str) -> list[Path]:
    """Processes that run; one that has ended has no command line."""
    found = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended in between
            if text.encode() in command.read_bytes() and command.parent.name != str(os.getpid()):
                found.append(command)
    return found


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
