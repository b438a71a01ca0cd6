"""What ``scripts/bench --ranks`` makes of its measurements, and two ranks that measure."""

import importlib.util
from pathlib import Path

import pytest

from tests.distributed import launching


@pytest.fixture(scope="module")
def ranks():
    path = Path(__file__).parents[1] / "scripts" / "lib" / "bench" / "ranks.py"
    spec = importlib.util.spec_from_file_location("bench_ranks", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_without_mpi_one_line_says_so(ranks, monkeypatch, capsys):
    monkeypatch.setattr(launching, "MPIRUN", None)
    assert ranks.measure(1) == []
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and "mpirun is not installed" in said.err


def test_the_table(ranks):
    rows = [ranks._row(2, "what", "1e-07", True), ranks._row(3, "what", "1e-01", False), ranks._row(2, "a", "b", None)]
    assert [line.rsplit("| ", 1)[1] for line in ranks.table(rows).splitlines()[2:]] == ["yes |", "NO |", "- |"]


@pytest.mark.skipif(launching.MPIRUN is None, reason="needs mpirun: pip install 'dlcourse[mpi]'")
def test_a_step_of_two_ranks_is_timed(ranks):
    found = ranks._child(launching.command(2, ranks.__file__, "step", "softmax", "2"), 1)
    assert found["ms"] > 0 and found["cpu_ms"] > 0
