"""What ``scripts/bench --sweeps`` makes of its measurements."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def sweeps():
    path = Path(__file__).parents[1] / "scripts" / "lib" / "bench" / "sweeps.py"
    spec = importlib.util.spec_from_file_location("bench_sweeps", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("hidden", [None, 5])
def test_a_step_of_a_stack(sweeps, monkeypatch, hidden):
    monkeypatch.setattr(sweeps, "SIZES", {"tiny": (8, 6, hidden, 3)})
    step = sweeps.our_step("tiny")
    first = [float(loss[0]) for loss in step()]
    for _ in range(50):
        last = [float(loss[0]) for loss in step()]
    assert len(first) == sweeps.COUNT and all(a > b for a, b in zip(first, last, strict=True))
    assert sweeps.timed(step)["seconds"] > 0


def test_the_table(sweeps):
    row = {"name": "softmax", "stacked_s": 2.0, "points_s": 9.0, "ratio": 4.5, "step_ms": 20.0, "torch_ms": 50.0}
    rows = [{**row, "difference": 2e-6, "agree": True}, {**row, "difference": 0.1, "agree": False}]
    lines = sweeps.table([*rows, {"name": "the rate 1e+38 among others", "agree": True}]).splitlines()
    assert lines[2] == "| softmax | 2.0 | 9.0 | 4.50 | 2e-06 | 20.0 | 50.0 | 2.50 |"
    assert "1e-01 (NOT THE SAME)" in lines[3] and lines[-1].endswith("others: leaves them as they are")


def test_a_rate_that_diverges_changes_no_other_point(sweeps):
    assert sweeps.leaves_others_alone()
