"""Every kernel against its reference at odd shapes: `tests/backend/test_kernels.py`, and which kernels fail.

The shortest way to know whether our own kernels work. Without cuDNN, which rounds otherwise (part `cudnn`).
"""

import re
import tempfile
from collections import Counter
from pathlib import Path

from gpu.part import Outcome, Task, judged
from gpu.suite import run_tests

TESTS = "tests/backend/test_kernels.py"
MAX_TEXTS = 20
_CASE = re.compile(r"\[(?:cuda|cpu)-(\w+)-(\d+)-(\w+)\]")


def check(task: Task) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        ran = run_tests(task, Path(folder), [TESTS], 60.0, task.processes, DLCOURSE_CUDNN="0")
    failing = Counter(kernel_of(name) for name in ran.failed)
    failures = [f"{name.removeprefix(TESTS + '::')}: {why}" for name, why in ran.failed.items()]
    detail = f"{len(ran.passed)} tests passed on {task.device}, {len(ran.failed)} failed"
    if failing:
        detail += f": {', '.join(f'{name} ({count})' for name, count in failing.most_common())}"
    if ran.finished and not ran.passed and not ran.failed:
        failures.append("no test ran")
    late = [] if ran.finished else ["all tests"]
    texts = dict(list(ran.texts.items())[:MAX_TEXTS])
    return judged(failures, late, detail, kernels=failing, texts=texts)


def kernel_of(test: str) -> str:
    """The kernel that a test is of; the test's own name where it is of none."""
    case = _CASE.search(test)
    return case[1] if case else test.rpartition("::")[2]
