"""scripts/scaling: the formula, and where more GPUs no longer pay."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "scaling"
scaling = runpy.run_path(str(SCRIPT))


def test_a_ring_takes_what_the_formula_says() -> None:
    link = scaling["Link"]("own", 1e-5, 1e9, 1 << 20)
    expected = 2 * 3 * 1e-5 + 2 * 3 / 4 * 8e6 / 1e9
    assert scaling["all_reduce"](8_000_000, 4, (link,)) == pytest.approx(expected)
    assert scaling["all_reduce"](8_000_000, 1, (link,)) == 0


def test_nodes_sum_inside_first() -> None:
    inside, across = scaling["LINKS"]
    both = scaling["all_reduce"](1e6, 16)
    assert both == pytest.approx(scaling["all_reduce"](1e6, 8, (inside,)) + scaling["all_reduce"](1e6, 2, (across,)))


def test_small_nets_stop_before_large_ones() -> None:
    best = [scaling["best"](model, scaling["LINKS"]) for model in scaling["MODELS"]]
    assert best[0] == 1 and best[-1] == max(best)


@pytest.mark.parametrize(
    "words, code", [(["--ranks", "1", "8", "--weak"], 0), (["--alpha", "1e-6"], 2), (["--ranks", "0"], 2)]
)
def test_it_prints_a_table_or_says_what_is_wrong(words: list[str], code: int) -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), *words], capture_output=True, text=True)
    assert done.returncode == code
    assert ("| model, batch | 1 GPU | 8 GPUs |" in done.stdout) == (code == 0)
