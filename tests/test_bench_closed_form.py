"""What ``scripts/bench --also`` makes of its measurements."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="module")
def closed_form():
    path = Path(__file__).parents[1] / "scripts" / "lib" / "bench" / "closed_form.py"
    spec = importlib.util.spec_from_file_location("closed_form", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_gap_is_relative_to_large_numbers_and_absolute_for_small_ones(closed_form):
    assert closed_form.gap(np.array([0.0, 101.0]), np.array([0.5, 99.0])) == pytest.approx(0.5 / 1.5)


def test_the_ratio_is_the_median_of_the_rounds_ratios(closed_form):
    row = closed_form.row("x", [1.0, 2.0, 4.0], [10.0, 30.0, 20.0], 0.0, 0.0)
    assert (row["ours_s"], row["peer_s"], row["ratio"], row["agree"]) == (2.0, 20.0, 10.0, True)


def test_a_difference_shows_in_the_table(closed_form):
    rows = [closed_form.row("x", [1.0], [2.0], difference, 1e-6) for difference in (0.0, 1e-3)]
    text = closed_form.table(rows).splitlines()
    assert text[2] == "| x | 1.000 | 2.000 | 2.0 | 0.0e+00 |" and "NOT THE SAME" in text[3]
