"""The whole suite, with the device fixture on the GPU; on the CPU where there is none.

On a GPU several processes share the test files: most of a test's time is Python's, and the machine has cores to spare.
"""

import os
import re
import tempfile
from pathlib import Path

from gpu.part import Outcome, Task, judged
from gpu.suite import run_tests

MAX_PROCESSES = 6
"""Side by side on one GPU: each takes about half a gigabyte of its memory for its context alone."""
MAX_TEXTS = 40
ON_GPU = re.compile(r"[\[-]cuda[\]-]")
"""How a test's name ends whose device fixture is the GPU."""


def check(task: Task) -> Outcome:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    processes = max(1, min(MAX_PROCESSES, cores // 2)) if task.gpu else 1
    with tempfile.TemporaryDirectory() as folder:
        ran = run_tests(task, Path(folder), task.arguments, limit=180.0, processes=processes)
    failures = [f"{name}: {why}" for name, why in ran.failed.items()]
    for line in failures:
        print(line)
    detail = f"{len(ran.passed)} passed, {len(failures)} failed, {len(ran.skipped)} skipped"
    on_gpu = sum(bool(ON_GPU.search(name)) for name in [*ran.passed, *ran.failed]) if task.gpu else 0
    detail += f"; {on_gpu} ran on the GPU" if task.gpu else ", on the CPU"
    if not ran.passed or (task.gpu and not on_gpu):
        failures.append("no test ran on the GPU" if task.gpu else "no test ran")
    late = [] if ran.finished else ["all tests"]
    return judged(failures, late, detail, texts=dict(list(ran.texts.items())[:MAX_TEXTS]))
