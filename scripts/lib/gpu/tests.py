"""All tests that use a device, on the GPU; the whole suite on the CPU where there is none.

On a GPU several processes share the tests: most of a test's time is Python's, and the machine has cores to spare.
cuDNN, which rounds otherwise, is left out (part `cudnn`).
"""

import re
import tempfile
from pathlib import Path

from gpu.part import Outcome, Task, judged
from gpu.suite import run_tests

MAX_TEXTS = 40
ON_GPU = re.compile(r"[\[-]cuda[\]-]")
"""How a test's name ends whose device fixture is the GPU."""


def check(task: Task) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        ran = run_tests(task, Path(folder), [*task.arguments], 60.0, task.processes, DLCOURSE_CUDNN="0")
    failures = [f"{name}: {why}" for name, why in ran.failed.items()]
    detail = f"{len(ran.passed)} passed, {len(failures)} failed, {len(ran.skipped)} skipped"
    on_gpu = sum(bool(ON_GPU.search(name)) for name in [*ran.passed, *ran.failed]) if task.gpu else 0
    detail += f"; {on_gpu} ran on the GPU" if task.gpu else ", on the CPU"
    if not ran.passed or (task.gpu and not on_gpu):
        failures.append("no test ran on the GPU" if task.gpu else "no test ran")
    late = [] if ran.finished else ["all tests"]
    return judged(failures, late, detail, texts=dict(list(ran.texts.items())[:MAX_TEXTS]))
