"""Lecture 7's configs in a reduced setting: paths and rates against theory, and optimizers against each other."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlcourse as dl
from dlcourse.experiment.landscape import FILE, measure_landscape
from dlcourse.plots.figures.surface_paths import Path as SurfacePath
from dlcourse.plots.run_view import RunView
from dlcourse.sweeps import SweepResult
from tests.configs.reduced import images, pictures, run, sections, sweep


def optimizers(path: str, *names: str) -> list[dict[str, Any]]:
    """Those of a config's sweep that have these names, with its settings."""
    return [each for each in sections(path)["sweep"]["grid"]["optimizer"] if each["name"] in names]


def ways(result: SweepResult) -> dict[str, SurfacePath]:
    """The paths of a sweep by optimizer; of sgd with its momentum."""
    found = {}
    for point in result.points:
        given = point.overrides["optimizer"]
        name = " ".join([given["name"], *(key for key in ("momentum", "nesterov") if given.get(key))])
        found[name] = SurfacePath(name, RunView(result.folder / point.folder))
    return found


def test_a_bowl_is_gone_down_at_the_rate_of_theory(tmp_path: Path) -> None:
    result = sweep("07_optimization/bowl_rates", tmp_path, train__steps=80)
    for point in result.points:
        k, momentum = point.overrides["model.condition"], "momentum" in point.overrides["optimizer"]
        root = np.sqrt(k) if momentum else k
        way = SurfacePath("", RunView(result.folder / point.folder))
        assert way.rate == pytest.approx((root - 1) / (root + 1), abs=0.03 if momentum else 1e-3)
    assert "convergence" in pictures(result.folder)


def test_newton_needs_a_step_and_conjugate_gradients_two_at_any_condition(tmp_path: Path) -> None:
    name = "07_optimization/paths_bowl"
    grid = {"model.condition": [100], "optimizer": optimizers(name, "sgd", "newton", "conjugate_gradient")}
    found = ways(sweep(name, tmp_path, sweep={"grid": grid}, train__steps=20))
    assert found["newton"].arrival == 1 and found["conjugate_gradient"].arrival == 2
    assert all(found[each].distances[-1] > 0.4 for each in ("sgd", "sgd momentum", "sgd momentum nesterov"))


@pytest.mark.parametrize(("path", "newton", "gradients"), [("paths_beale", 7, 10), ("paths_rosenbrock", 20, 35)])
def test_second_order_is_first_through_a_valley(path: str, newton: int, gradients: int, tmp_path: Path) -> None:
    name = f"07_optimization/{path}"
    grid = {"optimizer": optimizers(name, "sgd", "adam", "newton", "conjugate_gradient", "lbfgs")}
    result = sweep(name, tmp_path, sweep={"grid": grid}, train__steps=40)
    found = ways(result)
    assert found["newton"].arrival == newton and found["conjugate_gradient"].arrival == gradients
    assert found["lbfgs"].arrival < 40
    assert all(found[each].distances[-1] > 0.3 for each in ("sgd", "sgd momentum", "sgd momentum nesterov", "adam"))
    assert {"paths", "evaluations"} <= pictures(result.folder)


def test_plain_descent_stays_at_a_saddle_that_the_others_leave(tmp_path: Path) -> None:
    found = ways(sweep("07_optimization/paths_saddle", tmp_path))
    assert found.pop("sgd").distances[-1] > 0.9
    assert all(way.distances[-1] < 0.1 for way in found.values())


def test_a_clipped_gradient_keeps_a_path_that_diverges_otherwise(tmp_path: Path) -> None:
    result = sweep("07_optimization/gradient_clipping", tmp_path, train__steps=140)
    assert [point.status for point in result.points] == ["diverged", "done", "done", "done"]
    ways = [SurfacePath("", RunView(result.folder / point.folder)) for point in result.points[1:]]
    assert [way.arrival for way in ways] == [137, 118, 90]
    assert "paths" in pictures(result.folder)


def test_in_a_range_test_the_loss_falls_and_then_rises(tmp_path: Path) -> None:
    duration = {"train__epochs": 6, "train__batch_size": 20, "train__evaluate": ["val"]}
    result = run("07_optimization/lr_range_test", tmp_path, data=images(600), **duration)
    losses, rates = np.array(result.history["loss"]), np.array(result.history["lr"])
    middle = losses[(rates > 3e-3) & (rates < 3e-2)].mean()
    assert middle < losses[:10].mean() - 0.3 and middle < losses[-10:].mean() - 0.3
    assert np.allclose(np.diff(np.log(rates)), np.log(1e4) / (len(rates) - 1))
    assert "range_test" in pictures(result.folder)


def test_schedules_move_the_rate_and_the_net_learns_by_each(tmp_path: Path) -> None:
    changes = {"data": images(400), "train__epochs": 6, "train__batch_size": 20, "train__log_every": 1}
    grid = sections("07_optimization/lr_schedules")["sweep"]["grid"]["optimizer.schedule"]
    short = [each | {"warmup": 20} if each.get("warmup") else each for each in grid]
    short = [each | {"step_size": 40} if each.get("step_size") else each for each in short]
    result = sweep("07_optimization/lr_schedules", tmp_path, sweep={"grid": {"optimizer.schedule": short}}, **changes)
    first, last = {}, {}
    for point, given in zip(result.points, short, strict=True):
        name = given["name"] + (" warmup" if given.get("warmup") else "")
        rates = RunView(result.folder / point.folder).history.column("lr")
        first[name], last[name] = rates[0], rates[-1]
        assert rates.max() == pytest.approx(0.01, rel=1e-3)
        assert point.metrics["train.accuracy"] > 0.3, name
    assert all(first[each] < 0.003 for each in ("constant warmup", "cosine warmup", "one_cycle"))
    assert all(last[each] < 0.002 for each in ("step", "cosine", "cosine warmup", "one_cycle"))
    assert first["constant"] == last["constant"] == pytest.approx(0.01)


def test_the_others_pass_plain_descent(tmp_path: Path) -> None:
    changes = {"data": images(400), "train__batch_size": 20, "train__evaluate": ["train"], "train__log_every": 10}
    result = sweep("07_optimization/optimizer_race", tmp_path, **changes)
    names = [point.overrides["optimizer"]["name"] for point in result.points]
    plain, *others = [point.metrics["train.accuracy"] for point in result.points]
    assert len(others) == 12
    late = names[1:].index("radam")  # whose steps are short for some hundred steps, more than there are here
    assert min(others[:late] + others[late + 1 :]) > plain
    assert {"categories", "curves"} <= pictures(result.folder)


def test_lbfgs_is_ahead_of_gradient_descent_on_a_softmax_classifier(tmp_path: Path) -> None:
    changes = {"data": images(300), "train__evaluate": ["train"]}
    name = "07_optimization/second_order"
    given = sections(name)["sweep"]["zip"] | {"train.batch_size": [30, *["full"] * 5], "train.epochs": [40] * 5 + [8]}
    result = sweep(name, tmp_path, sweep={"zip": given}, **changes)
    costs = [RunView(result.folder / point.folder).history.column("loss")[-1] for point in result.points]
    names = [point.overrides["optimizer"]["name"] for point in result.points]
    assert names[int(np.argmin(costs))] == "lbfgs"
    assert "evaluations" in pictures(result.folder)


def test_the_loss_rises_on_all_sides_of_a_trained_net(tmp_path: Path) -> None:
    changes = {"data": images(300), "train__batch_size": 20, "train__evaluate": ["train"]}
    result = run("07_optimization/loss_landscape", tmp_path, **changes)
    measure_landscape(dl.load_run(result.folder), points=3, samples=300, span=1.0)
    values = np.load(result.folder / FILE)["values"]
    assert values.argmin() == 4 and np.delete(values, 4).min() > values[1, 1] + 0.5
    assert "landscape" in pictures(result.folder)
