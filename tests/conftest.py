"""What all tests share: the ``device`` fixture, and the switch ``--device`` that says where it runs."""

import os
import sys
from collections import Counter
from collections.abc import Iterator

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


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="all", choices=["all", "cpu", "cuda"], help="where the device fixture runs")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "device" not in metafunc.fixturenames:
        return
    wanted = metafunc.config.getoption("--device")
    names = ["cpu", "cuda"] if wanted == "all" else [wanted]
    status = probe.cuda_status()
    absent = pytest.mark.skip(reason=f"no CUDA device: {status.reason}")
    marks = {"cpu": (), "cuda": () if status.usable else (absent,)}
    metafunc.parametrize("device", [pytest.param(name, marks=marks[name]) for name in names], indirect=True)


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
    """Say how many op cases and PyTorch samples ran, and what was skipped: a line a reason, not a place."""
    notes = {}
    for report in terminalreporter.stats.get("passed", []):
        notes |= dict(report.user_properties)
    if "op_cases" in notes:
        terminalreporter.write_line(f"operations: {notes['op_cases']} cases over {notes['operations']} operations ran")
    for table in ("operators", "modules", "optimizers"):
        if f"pytorch_{table}" in notes:
            terminalreporter.write_line(f"PyTorch's samples of {table}: {notes[f'pytorch_{table}']}")
    skipped = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        skipped[reason.removeprefix("Skipped: ")] += 1
    for reason, count in skipped.most_common():
        terminalreporter.write_line(f"skipped {count}: {reason}")
