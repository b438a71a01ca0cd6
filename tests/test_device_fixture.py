"""Where tests with the ``device`` fixture run on a machine without a GPU, and what the summary says of the others."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TESTS = """
import pytest

@pytest.mark.parametrize("size", [1, 2, 3])
def test_on_each_device(device, size):
    pass

def test_on_none():
    pass
"""


@pytest.mark.parametrize(
    ("options", "outcome", "line"),
    [
        (["-k", "not 1"], "3 passed, 1 deselected", "2 tests on a GPU were not made: no CUDA device: "),
        (["-n", "1"], "4 passed", "3 tests on a GPU were not made: no CUDA device: "),
        (["--device", "cuda"], "1 passed, 3 skipped", "skipped 3: no CUDA device: "),
    ],
)
def test_tests_on_a_gpu_are_made_where_there_is_one_or_they_are_asked_for(
    options: list[str], outcome: str, line: str, tmp_path: Path
) -> None:
    (tmp_path / "test_two.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "-c", str(tmp_path / "pytest.ini")]
    blind = os.environ | {"CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run(
        [*command, str(tmp_path / "test_two.py"), *options], cwd=ROOT, env=blind, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{outcome} in " in done.stdout
    said = [each for each in done.stdout.splitlines() if "no CUDA device" in each]
    assert len(said) == 1 and said[0].startswith(line)
