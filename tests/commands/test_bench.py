"""``dlcourse bench``: figures that belong together, and none for what has no steps."""

import json

import pytest

from dlcourse.cli import main

CONFIG = "model: {name: mlp, hidden: [16]}\nloss: cross_entropy\noptimizer: {name: sgd, lr: 0.1}\n"


def write(tmp_path, text: str) -> str:
    path = tmp_path / "config.yaml"
    path.write_text("name: bench\ndata: {name: spirals, samples: 64}\n" + text)
    return str(path)


def test_the_parts_and_the_bound_are_those_of_a_step(tmp_path, capsys: pytest.CaptureFixture) -> None:
    assert main(["bench", write(tmp_path, CONFIG), "--seconds", "0.1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    median, minimum, limit = found["milliseconds"]
    assert 0 < minimum <= median <= limit
    assert {"data", "forward", "backward", "optimizer"} <= set(found["phases"])
    # 2 x 16 and 16 x 3 weights, a multiplication and an addition each, 32 samples, three passes
    assert found["gflops"] == pytest.approx(3 * 32 * 2 * (2 * 16 + 16 * 3) / 1e9)
    assert found["samples"] == 32 and 0 <= found["loader_share"] < 1 and found["gemm_rate"] > 0


def test_it_prints_a_table(tmp_path, capsys: pytest.CaptureFixture) -> None:
    assert main(["bench", write(tmp_path, CONFIG), "--seconds", "0.05"]) == 0
    out = capsys.readouterr().out
    assert "share of that bound" in out and "samples a second" in out


def test_a_closed_form_has_no_step_to_time(tmp_path, capsys: pytest.CaptureFixture) -> None:
    text = "model: {name: gaussian_classifier}\noptimizer: closed_form\n"
    assert main(["bench", write(tmp_path, text), "--seconds", "0.05"]) == 2
    assert "nothing to time" in capsys.readouterr().err
