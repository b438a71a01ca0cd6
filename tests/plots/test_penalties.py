"""Sweeps over a penalty, and sweeps whose settings have names."""

from pathlib import Path

import numpy as np

from dlcourse.plots.sweep_view import SweepView
from dlcourse.records.run import NEAR_ZERO, WEIGHT_SIZES
from dlcourse.sweeps import run_sweep

DIGITS = {
    "name": "penalties",
    "device": "cpu",
    "data": {"name": "synthetic_images", "samples": 60, "image_size": 8, "split": {"val": 0.5}},
    "model": "softmax",
    "loss": "cross_entropy",
    "optimizer": {"name": "sgd", "lr": 0.01},
    "metrics": ["accuracy"],
    "train": {"steps": 400, "batch_size": 15, "eval_every": 0},
}


def test_a_penalty_on_sizes_makes_weights_sparse_and_is_drawn(tmp_path: Path) -> None:
    result = run_sweep({**DIGITS, "sweep": {"grid": {"train.l1": [0.05, 0.0]}}}, out=tmp_path, quiet=True)
    assert {"sparsity.png", "weights.png"} <= {path.name for path in (result.folder / "plots").iterdir()}
    view, place = SweepView(result.folder), int(np.argmin(np.abs(np.array(WEIGHT_SIZES) - NEAR_ZERO)))
    for point in view.points:
        weight = np.load(result.folder / point.folder / "predictions.npz")["weights_below"]
        assert len(weight) == len(WEIGHT_SIZES) and (np.diff(weight) >= 0).all() and 0 < weight[-1] <= 1
    shares = {p.overrides["train.l1"]: view.run(p).predictions["weights_below"][place] for p in view.points}
    assert shares[0.05] > shares[0.0] + 0.05


def test_names_tell_whole_settings_apart(tmp_path: Path) -> None:
    settings = {"train.l2": [0.0, 0.1, 0.0], "name": ["plain", "l2", "smooth"], "loss.label_smoothing": [0.0, 0.0, 0.2]}
    result = run_sweep({**DIGITS, "sweep": {"zip": settings}}, out=tmp_path, quiet=True)
    (axis,) = SweepView(result.folder).axes
    assert axis.path == "name" and axis.values == ("plain", "l2", "smooth")
    assert (result.folder / "plots" / "categories.png").is_file()
