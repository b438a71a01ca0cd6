"""A pytest plugin that writes what came of each test at once, and goes on where an earlier process broke off.

A test that aborts the process, hangs, or leaves the device in a state in which nothing more works would hide those
after it: the file names the test that was running, and a fresh process takes the tests that are not in it yet. Switched
on by ``-p gpu.results``; its settings come through the environment (``SETTINGS``), see ``gpu.suite``.
"""

import faulthandler
import json
import os
from pathlib import Path
from typing import Any

import pytest

SETTINGS = "DLCOURSE_TEST_RESULTS"
"""JSON: ``file``, where results go; ``share``, [i, n]: the i-th of n parts of the tests; ``limit``, seconds for
one test; ``device``, which is asked after each failure whether it still works, and whose tests alone run; or null."""

TOGETHER = 20
"""Tests that lie beside each other go to one process: they need the same kernels."""


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Results(**json.loads(os.environ[SETTINGS])), "dlcourse-results")


class Results:
    def __init__(self, file: str, share: tuple[int, int], limit: float, device: str | None):
        self.path, self.share, self.limit, self.device = Path(file), share, limit, device
        self.stack = open(f"{file}.hung", "w")  # noqa: SIM115 - written to by a timer that has to find it open
        self.session: Any = None
        self.line: dict[str, str] = {}

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self.session = session

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        seen = {line["started"] for line in read(self.path) if "started" in line}
        index, count = self.share
        mine = items
        if self.device is not None:  # on a device's time only what uses the device
            mine = [item for item in items if _runs_on_a_device(item)]
        mine = [item for i, item in enumerate(mine) if i // TOGETHER % count == index and item.nodeid not in seen]
        chosen = set(mine)
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = mine

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._write(test=report.nodeid, **_failure(report))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._write(started=nodeid)
        self.line = {"outcome": "passed"}
        faulthandler.dump_traceback_later(self.limit, exit=True, file=self.stack)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.line = _failure(report)
        elif report.skipped and self.line["outcome"] == "passed":
            self.line = {"outcome": "skipped"}

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        faulthandler.cancel_dump_traceback_later()
        self._write(test=nodeid, **self.line)
        if self.line["outcome"] == "failed" and self.device is not None and not _works(self.device):
            self.session.shouldstop = "the device does not work any more"

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if not session.shouldstop:
            self._write(complete=True)

    def _write(self, **line: Any) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")


def _runs_on_a_device(item: pytest.Item) -> bool:
    call = getattr(item, "callspec", None)
    return call is not None and call.params.get("device", "cpu") != "cpu"


def read(path: Path) -> list[dict[str, Any]]:
    """The lines that are whole: the last one may have been cut off with its process."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def _works(device: str) -> bool:
    """An illegal address, say, spoils a process's context: every later call fails with the same error."""
    from dlcourse import backend

    try:
        backend.get(device).synchronize()
    except Exception:
        return False
    return True


def _failure(report: pytest.CollectReport | pytest.TestReport) -> dict[str, str]:
    """Why in a line, and the end of pytest's whole report."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = report.longreprtext
    # Of a file that cannot be imported pytest says first that it cannot; the lines that it marks with E say why.
    marked = [line[1:].strip() for line in text.splitlines() if line.startswith("E ")]
    lines = crash.message.splitlines() if crash is not None else marked[-1:] or text.splitlines()
    first = next((line for line in lines if line.strip()), "")
    return {"outcome": "failed", "detail": first[:300], "text": text[-4000:]}
