"""cuDNN's convolutions against the references, within their own errors: `tests/backend/test_cudnn.py`."""

import tempfile
from pathlib import Path

from gpu.part import Outcome, Task, judged, no_gpu
from gpu.suite import run_tests

TESTS = "tests/backend/test_cudnn.py"


def check(task: Task) -> Outcome:
    if not task.gpu:
        return no_gpu()
    with tempfile.TemporaryDirectory() as folder:
        ran = run_tests(task, Path(folder), [TESTS], limit=60.0)
    if ran.finished and not ran.passed and not ran.failed:
        return {"status": "skipped", "detail": "there is no cuDNN, or it is switched off"}
    failures = [f"{name.removeprefix(TESTS + '::')}: {why}" for name, why in ran.failed.items()]
    detail = f"{len(ran.passed)} tests passed, {len(ran.failed)} failed, {len(ran.skipped)} skipped"
    return judged(failures, [] if ran.finished else ["all tests"], detail, texts=ran.texts)
