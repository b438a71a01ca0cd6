"""Configs of recurrent nets in a reduced setting: what is remembered, what arrives of the gradient, and the wall."""

from pathlib import Path

import numpy as np

from dlcourse.plots.figures.surface_paths import Path as SurfacePath
from dlcourse.plots.figures.through_time import kept
from dlcourse.plots.run_view import RunView
from tests.configs.reduced import images, measured, pictures, sections, sweep


def test_the_identity_remembers_and_the_pictures_show_it(tmp_path: Path) -> None:
    nets = sections("10_rnn/adding_problem")["sweep"]["zip"]["model"]
    assert [net["name"] for net in nets] == ["rnn", "rnn", "lstm", "gru"]
    short = {"data__samples": 900, "data__steps": 16, "data__split": {"val": 100}, "train__batch_size": 20}
    grid = {"model": [{**net, "hidden": 24} for net in nets[:2]], "optimizer.lr": [5e-3, 5e-3], "train.epochs": [1, 9]}
    result = sweep("10_rnn/adding_problem", tmp_path, sweep={"zip": grid}, **short)
    untrained, identity = (point.metrics["val.mse"] for point in result.points)
    assert identity < 0.06 < 0.12 < untrained
    assert {"curves", "gradients_through_time"} <= pictures(result.folder)


def test_through_the_identity_the_gradient_arrives(tmp_path: Path) -> None:
    short = {"data__samples": 60, "data__split": {"val": 10}, "train__epochs": 1}
    result = sweep("10_rnn/gradients_through_time", tmp_path, **short)
    looks = [RunView(result.folder / point.folder).history.watch[0] for point in result.points]
    tanh, identity, lstm, gru = map(kept, looks)
    assert max(tanh, lstm, gru) < 1e-15 and identity > 0.5
    assert "gradients_through_time" in pictures(result.folder)
    assert "through_time" in pictures(result.folder / result.points[0].folder)


def test_without_a_bound_the_wall_throws_the_path_away(tmp_path: Path) -> None:
    result = sweep("10_rnn/clipping_at_the_wall", tmp_path, train__steps=170)
    free, *bound = [SurfacePath("", RunView(result.folder / point.folder)).points for point in result.points]
    lengths = [np.linalg.norm(np.diff(points, axis=0), axis=1).max() for points in (free, *bound)]
    assert lengths[0] > 5 and free[-1, 1] > 3
    for points, length, norm in zip(bound, lengths[1:], (1, 0.1), strict=True):
        assert length <= 0.3 * norm + 1e-9 and -2.7 < points[-1, 1] < -2
    assert "paths" in pictures(result.folder)


def test_an_image_is_read_row_by_row(tmp_path: Path) -> None:
    short = {"data": images(300, noise=10), "model__hidden": 32, "optimizer__lr": 2e-2, "train__epochs": 8}
    result = sweep(
        "10_rnn/mnist_rows", tmp_path, sweep={"grid": {"model.name": ["gru"]}}, train__batch_size=20, **short
    )
    assert measured(result, "val.accuracy")["gru"] > 0.3


def test_a_state_that_is_carried_makes_up_for_a_short_window(tmp_path: Path) -> None:
    """Of words one after another a window of two characters does not tell where it lies; what came before does."""
    (tmp_path / "words.txt").write_text("abacadaeaf" * 160)
    short = {"data__path": str(tmp_path / "words.txt"), "data__split": {"train": 1300, "val": 300}, "model__hidden": 16}
    grid = {"data.context": [2], "train.carry_state": [False, True]}
    more = {"train__batch_size": 8, "train__epochs": 4, "optimizer__lr": 2e-2}
    losses = measured(
        sweep("10_rnn/truncated_backpropagation", tmp_path, sweep={"grid": grid}, **short, **more), "val.cross_entropy"
    )
    assert losses[2, True] < 0.8 * losses[2, False]
