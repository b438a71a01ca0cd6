"""Tests run by pytest, in a process or several side by side; a test that breaks its process costs that test alone."""

import contextlib
import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from processes import ending, python, started, with_path

from gpu import results
from gpu.part import ROOT, Task, judged

HERE = Path(__file__).resolve().parent
KEPT_EVERY = 3.0
"""Seconds after which what has been found is kept again, should all of it be ended."""


@dataclass(frozen=True)
class Ran:
    """What became of the tests, by name.

    Attributes:
        failed: why, in a line; those that ended their process, or hung, count too.
        texts: pytest's whole report of failures.
        finished: False where time ran out first.
    """

    passed: list[str]
    skipped: list[str]
    failed: dict[str, str]
    texts: dict[str, str]
    finished: bool


def run_tests(
    task: Task, folder: Path, arguments: Sequence[str], limit: float, processes: int = 1, **environment: str
) -> Ran:
    """Run ``pytest arguments`` on the task's device until all tests have run or the task's time is over.

    Args:
        folder: an empty one, for the results.
        limit: seconds for one test, after which its process is ended.
        processes: how many processes share the tests.
        environment: further variables of theirs.
    """
    shares = [
        Share(task, folder / f"{i}.jsonl", arguments, limit, (i, processes), environment) for i in range(processes)
    ]
    with contextlib.ExitStack() as stack:
        for share in shares:
            stack.callback(share.stop)
        due = time.monotonic() + KEPT_EVERY
        while any(not share.over for share in shares) and time.monotonic() < task.until:
            for share in shares:
                share.go_on()
            if time.monotonic() >= due:
                known, due = _ran(shares), time.monotonic() + KEPT_EVERY
                failures = [f"{name}: {why}" for name, why in known.failed.items()]
                task.note(judged(failures, ["the other tests"], f"{len(known.passed)} passed", texts=known.texts))
            time.sleep(0.1)
        finished = all(share.over for share in shares)
    return _ran(shares, finished)


def _ran(shares: "Sequence[Share]", finished: bool = False) -> Ran:
    found = {name: line for share in shares for name, line in share.found().items()}
    return Ran(
        passed=[name for name, line in found.items() if line["outcome"] == "passed"],
        skipped=[name for name, line in found.items() if line["outcome"] == "skipped"],
        failed={name: line["detail"] for name, line in found.items() if line["outcome"] == "failed"},
        texts={name: line["text"] for name, line in found.items() if line.get("text")},
        finished=finished,
    )


class Share:
    """One process after another, until one comes to the end of its share of the tests."""

    def __init__(
        self, task: Task, path: Path, arguments: Sequence[str], limit: float, share: tuple[int, int],
        environment: Mapping[str, str],
    ):  # fmt: skip
        settings = {"file": str(path), "share": share, "limit": limit, "device": task.device if task.gpu else None}
        self.environment = {**with_path(str(HERE.parent)), **environment, results.SETTINGS: json.dumps(settings)}
        if share[1] > 1:  # else each would take all cores
            self.environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // share[1])))
        options = ["-q", "-p", "gpu.results", "-p", "no:cacheprovider", "--continue-on-collection-errors"]
        self.command = python("-m", "pytest", *options, f"--device={task.device}", *arguments)
        self.path, self.over = path, False
        self.endings: dict[str, str] = {}
        self.running: contextlib.ExitStack | None = None

    def go_on(self) -> None:
        """Start the process if none is running; look whether it has come to its end."""
        if self.over:
            return
        if self.running is None:
            self.running, self.before = contextlib.ExitStack(), len(results.read(self.path))
            log = self.running.enter_context(open(self.path.with_suffix(".log"), "ab"))
            self.process = self.running.enter_context(
                started(self.command, cwd=ROOT, env=self.environment, stdout=log, stderr=log)
            )
        elif self.process.poll() is not None:
            self.stop()
            lines = results.read(self.path)
            unended = _unended(lines)
            if unended:
                self.endings[unended] = self._why(self.process.returncode)
            # Without progress another process would do no better.
            self.over = any("complete" in line for line in lines) or len(lines) == self.before

    def stop(self) -> None:
        if self.running is not None:
            self.running.close()
            self.running = None

    def found(self) -> dict[str, dict]:
        """The line of each test."""
        lines = results.read(self.path)
        found = {line["test"]: line for line in lines if "test" in line}
        found |= {name: {"outcome": "failed", "detail": why} for name, why in self.endings.items()}
        if self.over and not any("complete" in line for line in lines):
            found[f"pytest, process {self.path.stem}"] = {"outcome": "failed", "detail": self._log_end()}
        return found

    def _why(self, code: int) -> str:
        """How a process ended in the middle of a test; of the threads of one that hung the main one is the last."""
        hung = Path(f"{self.path}.hung").read_text().rpartition("Thread 0x")[2]
        where = re.search(r'File "(.+?)", line (\d+) in (\w+)', hung)
        if where:
            return "hung at {}:{} in {}".format(*where.groups())
        return f"its process: {ending(code)}"

    def _log_end(self) -> str:
        lines = self.path.with_suffix(".log").read_text(errors="replace").split("\n")
        last = [line.strip() for line in lines if line.strip()][-4:]
        return f"ended without results: {' | '.join(last) or 'no output'}"


def _unended(lines: list[dict]) -> str | None:
    """The test that was running when the process ended."""
    ended = {line["test"] for line in lines if "test" in line}
    names = [line["started"] for line in lines if "started" in line]
    return names[-1] if names and names[-1] not in ended else None
