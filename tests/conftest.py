"""What all tests share: the ``device`` fixture, and the switch ``--device`` that says where it runs."""

import gc
import os
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

from dlcourse import backend, registry
from dlcourse.backend import random
from dlcourse.backend.cpu import autotune
from dlcourse.backend.diagnostics import probe

# No test's bits depend on the clock, and nothing is written into the user's cache; tests of that switch it on.
os.environ[autotune.SWITCH] = "0"

# No test is timed: a busy machine is not an error.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

NOT_MADE = pytest.StashKey[int]()
"""How many tests on a GPU were not made because there is none."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="all", choices=["all", "cpu", "cuda"], help="where the device fixture runs")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with the device fixture once a device; one on a GPU that is not there only where it is asked for."""
    if "device" not in metafunc.fixturenames:
        return
    wanted = metafunc.config.getoption("--device")
    usable = probe.cuda_status().usable
    names = [wanted] if wanted != "all" else ["cpu", "cuda"] if usable else ["cpu"]
    marks = {"cpu": (), "cuda": () if usable else (pytest.mark.skip(reason=without_gpu()),)}
    metafunc.parametrize("device", [pytest.param(name, marks=marks[name]) for name in names], indirect=True)


def without_gpu() -> str:
    """Why there is no test on a GPU."""
    return f"no CUDA device: {probe.cuda_status().reason}"


def pytest_collection_finish(session: pytest.Session) -> None:
    """Count the tests that are not made for want of a GPU: each on a CPU has one beside it."""
    # What was collected stays until the end: to look through it in each garbage collection costs a seventh of the time.
    gc.collect()
    gc.freeze()
    config = session.config
    if config.getoption("--device") != "all" or probe.cuda_status().usable:
        return
    count = sum("device" in item.callspec.params for item in session.items if hasattr(item, "callspec"))
    if hasattr(config, "workeroutput"):  # pytest-xdist: each worker collects all tests, the controller none
        config.workeroutput["not_made"] = count
    else:
        config.stash[NOT_MADE] = count


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take the count from a worker of pytest-xdist, which ends; the other workers have the same."""
    count = getattr(node, "workeroutput", {}).get("not_made", 0)
    node.config.stash[NOT_MADE] = max(count, node.config.stash.get(NOT_MADE, 0))


@pytest.fixture
def device(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs the test on each device that is there: new tensors are made on it."""
    with backend.use(request.param):
        yield request.param


@pytest.fixture(autouse=True)
def fresh_seed() -> None:
    """Every test starts from seed 0, whatever ran before."""
    random.manual_seed(0)


@pytest.fixture(autouse=True)
def no_plugins_left() -> Iterator[None]:
    """What a test loads as a user's own file is gone with the test."""
    yield
    forget_plugins()


def forget_plugins() -> None:
    """As a new process has none."""
    for name in [name for name in sys.modules if name.startswith("dlcourse_plugin_")]:
        del sys.modules[name]
    for components in registry.registered.values():
        for name in [name for name, cls in components.items() if cls.__module__.startswith("dlcourse_plugin_")]:
            del components[name]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many op cases and PyTorch samples ran, and what was not made or skipped: a line a reason, not a place."""
    notes = {}
    for report in terminalreporter.stats.get("passed", []):
        notes |= dict(report.user_properties)
    if "op_cases" in notes:
        terminalreporter.write_line(f"operations: {notes['op_cases']} cases over {notes['operations']} operations ran")
    for table in ("operators", "modules", "optimizers"):
        if f"pytorch_{table}" in notes:
            terminalreporter.write_line(f"PyTorch's samples of {table}: {notes[f'pytorch_{table}']}")
    if not_made := terminalreporter.config.stash.get(NOT_MADE, 0):
        terminalreporter.write_line(f"{not_made} tests on a GPU were not made: {without_gpu()}")
    skipped = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        skipped[reason.removeprefix("Skipped: ")] += 1
    for reason, count in skipped.most_common():
        terminalreporter.write_line(f"skipped {count}: {reason}")
