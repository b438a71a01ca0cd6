"""Lecture 5's configs in a reduced setting: what the header says of a net's inside, and its picture."""

import json
from pathlib import Path

from tests.configs.reduced import CLOUDS, measured, pictures, sweep


def test_without_batch_norm_few_scales_of_the_first_weights_train(tmp_path: Path) -> None:
    grid = {"model.batch_norm": [False, True], "model.init.std": [1e-4, 0.2]}
    name = "05_backpropagation/initial_scales"
    result = sweep(name, tmp_path, data=CLOUDS, sweep={"grid": grid}, train__epochs=8)
    accuracy = measured(result, "val.accuracy")
    assert accuracy[False, 1e-4] < 0.5 < 0.8 < accuracy[False, 0.2]
    assert accuracy[True, 1e-4] > 0.6 and accuracy[True, 0.2] > 0.8
    assert {"heat_map", "layers_at_start"} <= pictures(result.folder)


def test_sigmoids_lose_the_gradient_with_depth_and_relus_keep_it(tmp_path: Path) -> None:
    grid = {"model.activation": ["sigmoid", "relu"], "model.hidden": [[50] * 3, [50] * 10]}
    name = "05_backpropagation/gradients_by_depth"
    result = sweep(name, tmp_path, data=CLOUDS, sweep={"grid": grid}, train__epochs=1)
    shares = {}
    for point in result.points:
        lines = (result.folder / point.folder / "metrics.jsonl").read_text().splitlines()
        look = next(line for line in map(json.loads, lines) if line["event"] == "watch")
        gradients = [facts["gradient"] for facts in look["layers"].values() if facts["kind"] == "Linear"]
        shares[point.overrides["model.activation"], len(gradients)] = gradients[0] / gradients[-1]
    assert shares["sigmoid", 11] < 1e-3 < 0.1 < shares["relu", 11]
    assert shares["sigmoid", 11] < 0.05 * shares["sigmoid", 4]
    assert "layers_at_start" in pictures(result.folder)
    assert "activations" in pictures(result.folder / result.points[0].folder)
