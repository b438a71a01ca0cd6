"""Processes that leave no child behind, and lists of work that goes on in a fresh process where one breaks."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

ANSWER = "answer: "
"""How a line of standard output begins that is an answer, among what libraries print."""


@contextlib.contextmanager
def started(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A command in a group of its own, ended with all that it started when the block is left, however it is left."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, text=True, start_new_session=True, **options) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def run(command: Sequence[str], timeout: float, quiet: bool = False, **options: Any) -> subprocess.CompletedProcess:
    """A command to its end; ``quiet`` keeps what it prints instead of showing it.

    Raises:
        subprocess.TimeoutExpired: it took longer than ``timeout`` seconds.
    """
    pipe = subprocess.PIPE if quiet else None
    with started(command, stdout=pipe, stderr=pipe, **options) as process:
        out, err = process.communicate(timeout=timeout)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def in_turn(
    command: Sequence[str], items: Sequence[str], limit: float, until: float, **options: Any
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give ``items`` to a process as its last arguments; it answers each, in their order, with :func:`answer`.

    A process that breaks, or takes longer than ``limit`` seconds with an item (the first one's include its start),
    costs that item alone: the rest go to a fresh process, since the state of the device in this one is unknown.

    Args:
        until: when to give up, on the clock of ``time.monotonic``.
    Yields:
        item, and its answer; ``{"error": ...}`` where there is none, with ``"late": True`` where time ran out.
    """
    left = list(items)
    while left:
        if time.monotonic() >= until:
            yield left.pop(0), {"error": "no time left", "late": True}
            continue
        with (
            tempfile.TemporaryFile("w+") as stderr,
            started([*command, *left], stdout=subprocess.PIPE, stderr=stderr, **options) as process,
        ):
            lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
            threading.Thread(target=_forward, args=(process.stdout, lines.put), daemon=True).start()
            while left:
                timeout = max(0.0, min(limit, until - time.monotonic()))
                found = _next_answer(process, lines, timeout)
                if found is None:
                    found = {"error": _why(process, stderr)}
                yield left.pop(0), found
                if "error" in found:
                    break


def side_by_side(commands: Mapping[str, Sequence[str]], width: int, until: float, **options: Any) -> dict[str, str]:
    """Run commands, ``width`` at a time; returns why those failed that did, by name."""

    def why(command: Sequence[str]) -> str:
        left = until - time.monotonic()
        if left <= 0:
            return "no time left"
        try:
            done = run(command, left, quiet=True, **options)
        except subprocess.TimeoutExpired:
            return f"not done after {left:.0f} s"
        return "" if done.returncode == 0 else last_line(done.stderr) or ending(done.returncode)

    with ThreadPoolExecutor(width) as pool:
        found = zip(commands, pool.map(why, commands.values()), strict=True)
        return {name: reason for name, reason in found if reason}


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def answer(**values: Any) -> None:
    """What a process that :func:`in_turn` started has to say about the next item."""
    print(ANSWER + json.dumps(values), flush=True)


def last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


def ending(code: int) -> str:
    """An exit code in words."""
    return f"ended by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]


def with_path(*folders: str) -> Mapping[str, str]:
    """This process's environment, with these folders first where Python looks for modules."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [*folders, os.environ.get("PYTHONPATH")]))}


def _forward(stream: Any, put: Callable[[str | None], None]) -> None:
    with contextlib.suppress(ValueError):  # closed, as no more is asked
        for line in stream:
            put(line)
    put(None)


def _next_answer(process: subprocess.Popen, lines: queue.SimpleQueue, timeout: float) -> dict[str, Any] | None:
    """None where the process ended without one."""
    ends = time.monotonic() + timeout
    while True:
        over = process.poll() is not None  # asked first: what it printed before is in the queue, or comes in a moment
        left = ends - time.monotonic()
        try:
            line = lines.get(timeout=max(0.0, min(0.5, left)))
        except queue.Empty:
            if over:  # and yet no end of its output: a process that it started, and left behind, holds it open
                return None
            if left <= 0:
                return {"error": f"not done after {timeout:.0f} s", "late": True}
            continue
        if line is None:
            return None
        if line.startswith(ANSWER):
            return json.loads(line.removeprefix(ANSWER))


def _why(process: subprocess.Popen, stderr: Any) -> str:
    code = process.wait()
    stderr.seek(0)
    return (last_line(stderr.read()) if code > 0 else "") or ending(code)
