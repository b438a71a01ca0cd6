"""``scripts/bench`` from its arguments to its table: both sides computed the same, in processes of their own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1] / "scripts" / "lib" / "bench"


@pytest.mark.parametrize("workload", ["softmax", "mlp"])
def test_a_workload_is_compared_timed_and_shown(workload: str, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    arguments = [
        "--only",
        workload,
        "--rounds",
        "1",
        "--seconds",
        "0.05",
        "--numpy",
        "--json",
        str(tmp_path / "b.json"),
    ]
    done = subprocess.run([sys.executable, str(BENCH), *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"| {workload} |" in done.stdout and "peer: Python" in done.stdout
    assert json.loads((tmp_path / "b.json").read_text())
