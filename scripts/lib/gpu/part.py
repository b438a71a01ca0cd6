"""A part of the check in its process: `python -m gpu.part MODULE cuda|cpu SECONDS FILE [arguments]`.

MODULE has ``check(task)``, which returns an :data:`Outcome`. Whatever becomes of this process, what the part has found
so far lies in FILE. A part starts processes for all that touches a device, and only waits here.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processes import cores

ROOT = Path(__file__).resolve().parents[3]

MAX_PROCESSES = 6
"""Side by side on one GPU: each takes about half a gigabyte of its memory for its context alone."""

Outcome = dict[str, Any]
"""``status`` (passed, failed, unfinished or skipped), ``detail`` in one line, and what else belongs into the JSON file:
``failures``, a list of lines, and ``table``, lines to read, are shown in the summary."""


@dataclass(frozen=True)
class Task:
    """What a part is asked.

    Attributes:
        gpu: whether there is one; without, a part runs what can be run on a CPU, or says that it needs one.
        until: when it has to be done, on the clock of ``time.monotonic``.
        note: ``note(outcome)`` keeps what is known so far, should the part not come to its end.
        arguments: further ones, such as pytest's of the part that runs the whole suite.
    """

    gpu: bool
    until: float
    note: Callable[[Outcome], None]
    arguments: Sequence[str] = ()

    @property
    def device(self) -> str:
        return "cuda" if self.gpu else "cpu"

    @property
    def processes(self) -> int:
        """How many may work side by side: on a GPU most of their time is Python's, and each has a context there."""
        return max(1, min(MAX_PROCESSES, cores() // 2)) if self.gpu else 1

    @property
    def left(self) -> float:
        """Seconds, at least one: a process that is given none says less than one that is late."""
        return max(1.0, self.until - time.monotonic())


def no_gpu() -> Outcome:
    return {"status": "skipped", "detail": "no GPU"}


def judged(failures: Sequence[str], late: Sequence[str], detail: str, **more: Any) -> Outcome:
    """Failed where there are failures, else unfinished where something came to no end, else passed."""
    status = "failed" if failures else "unfinished" if late else "passed"
    if late:
        detail += f"; not done: {', '.join(late)}"
    return {"status": status, "detail": detail, "failures": list(failures), **more}


def main() -> int:
    module, device, seconds, path, *arguments = sys.argv[1:]
    # Asked to end, it leaves its blocks, and those end what they started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    task = Task(device == "cuda", time.monotonic() + float(seconds), lambda found: write(Path(path), found), arguments)
    try:
        task.note(importlib.import_module(module).check(task))
    except subprocess.TimeoutExpired:
        task.note({"status": "unfinished", "detail": f"what it ran was not done in {float(seconds):.0f} s"})
    except Exception as error:
        traceback.print_exc()
        found = json.loads(Path(path).read_text()) if Path(path).exists() else {}
        task.note(found | {"status": "failed", "detail": f"{type(error).__name__}: {error}"})
    return 0


def write(path: Path, found: Outcome) -> None:
    """All of it or nothing: the process may end at any moment."""
    scratch = path.with_suffix(".part")
    scratch.write_text(json.dumps(found))
    os.replace(scratch, path)


if __name__ == "__main__":
    sys.exit(main())
