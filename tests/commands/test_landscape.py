"""`dlcourse landscape`: the loss around a trained net is measured and drawn, and the net stays as it was."""

from pathlib import Path

import numpy as np
import pytest

import dlcourse as dl
from dlcourse.cli import main
from dlcourse.experiment.landscape import FILE, filter_normalized

CONFIG = {
    "data": {"name": "spirals", "samples": 60, "split": {"val": 10}},
    "model": {"name": "mlp", "hidden": [8]},
    "loss": "cross_entropy",
    "optimizer": {"name": "adam", "lr": 0.01},
    "train": {"epochs": 2, "batch_size": 50},
}


def test_the_middle_is_the_nets_own_loss(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = dl.run(CONFIG, out=tmp_path, quiet=True, plots=False, device="cpu")
    assert main(["landscape", str(run.folder), "--points", "5", "--span", "0.5"]) == 0
    assert "25 evaluations" in capsys.readouterr().out
    assert (run.folder / "plots" / "landscape.png").is_file()
    with np.load(run.folder / FILE) as found:
        values = found["values"]
        np.testing.assert_allclose(found["along"], [-0.5, -0.25, 0, 0.25, 0.5])
    assert values.shape == (5, 5) and len(np.unique(values)) == 25
    assert values[2, 2] == pytest.approx(run.metrics["train"]["loss"], rel=1e-5)


def test_a_filter_of_a_direction_is_as_long_as_the_weights() -> None:
    draw = np.random.default_rng(0)
    for shape in ((4, 3), (4, 2, 2, 3)):
        weight, direction = draw.normal(size=shape), draw.normal(size=shape)
        weight[1] = 0
        found = filter_normalized(weight, direction)
        np.testing.assert_allclose(
            np.linalg.norm(found.reshape(4, -1), axis=1), np.linalg.norm(weight.reshape(4, -1), axis=1)
        )
    assert not filter_normalized(np.ones(3), np.ones(3)).any()


@pytest.mark.parametrize(
    ("option", "message"), [(["--points", "4"], "odd"), (["--span", "0"], "span"), (["--samples", "0"], "samples")]
)
def test_wrong_arguments_are_named(option: list[str], message: str, tmp_path: Path, capsys) -> None:
    run = dl.run(CONFIG, out=tmp_path, quiet=True, plots=False, device="cpu")
    assert main(["landscape", str(run.folder), *option]) == 2
    assert message in capsys.readouterr().err
