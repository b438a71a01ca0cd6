import math

import pytest

from dlcourse.errors import ConfigError
from dlcourse.sweeps.axes import axes, draw


def messages(section):
    with pytest.raises(ConfigError) as caught:
        axes(section, seed=0)
    return [str(problem) for problem in caught.value.problems]


def test_order_and_kinds():
    found = axes(
        {
            "kfold": 3,
            "random": {"samples": 2, "space": {"optimizer.lr": {"low": 1e-4, "high": 1e-1, "log": True}}},
            "zip": {"train.epochs": [1, 2], "train.batch_size": [32, "full"]},
            "grid": {"model.degree": [1, 2, 3], "seed": [0, 1]},
        },
        seed=0,
    )
    assert [axis.kind for axis in found] == ["grid", "grid", "zip", "random", "kfold"]
    assert found[2].paths == ("train.epochs", "train.batch_size")
    assert found[2].settings == ((1, 32), (2, "full"))
    assert found[4].settings == tuple(({"folds": 3, "fold": fold},) for fold in range(3))


def test_values_keep_their_type():
    (axis,) = axes({"grid": {"model.hidden": [1, 1.0, True, None, "1", [1], {"name": "a"}]}}, seed=0)
    assert [value for (value,) in axis.settings] == [1, 1.0, True, None, "1", [1], {"name": "a"}]
    assert [type(value) for (value,) in axis.settings] == [int, float, bool, type(None), str, list, dict]


def test_random_draws_are_a_function_of_seed_and_path():
    rate, degree = {"low": 1e-4, "high": 1e-1, "log": True}, {"low": 1, "high": 9, "int": True}
    space = {"optimizer.lr": rate, "model.degree": degree}
    (four,) = axes({"random": {"samples": 4, "space": space}}, seed=7)
    (nine,) = axes({"random": {"samples": 9, "space": space}}, seed=7)
    (alone,) = axes({"random": {"samples": 4, "space": {"optimizer.lr": space["optimizer.lr"]}}}, seed=7)
    (other,) = axes({"random": {"samples": 4, "space": space}}, seed=8)
    assert nine.settings[:4] == four.settings
    assert [lr for (lr,) in alone.settings] == [lr for lr, _ in four.settings]
    assert other.settings != four.settings


def test_random_settings_are_distinct_and_a_finite_space_is_used_up():
    section = {"random": {"samples": 6, "space": {"a.b": [1, 2, 3], "a.c": [True, False]}}}
    (axis,) = axes(section, seed=0)
    assert sorted(axis.settings) == [(b, c) for b in (1, 2, 3) for c in (False, True)]
    section["random"]["samples"] = 7
    assert messages(section) == [
        "sweep.random.samples: the space has only 6 distinct settings, fewer than the 7 samples asked for"
    ]


@pytest.mark.parametrize("u", [0.0, 0.25, 0.5, 1 - 2**-53])
def test_draws_stay_inside(u):
    assert draw(["a", "b"], u) in ("a", "b")
    assert 1e-4 <= draw({"low": 1e-4, "high": 3e-1, "log": True}, u) <= 3e-1
    whole = draw({"low": 2, "high": 5, "int": True, "log": True}, u)
    assert isinstance(whole, int) and 2 <= whole <= 5


def test_draws_follow_their_distribution():
    grid = [(i + 0.5) / 1000 for i in range(1000)]
    logarithms = [math.log10(draw({"low": 1e-4, "high": 1.0, "log": True}, u)) for u in grid]
    assert sum(logarithms) / 1000 == pytest.approx(-2, abs=1e-3)
    counts = [[draw({"low": 1, "high": 4, "int": True}, u) for u in grid].count(value) for value in (1, 2, 3, 4)]
    assert counts == [250, 250, 250, 250]
    assert draw({"low": 0.0, "high": 1.0}, 1 / 3) == 0.333333  # the number that is shown is the number that is used


@pytest.mark.parametrize(
    ("section", "output"),
    [
        ({"grid": {"model.degree": [1, 2, 1]}}, "sweep.grid.model.degree: lists 1 twice"),
        ({"zip": {"a": [1, 2], "b": [1]}}, "sweep.zip: the lists move together and must be equally long: a has 2"),
        ({"grid": {"a": [1]}, "zip": {"a": [2]}}, "sweep.zip: a is varied by grid already"),
        ({"grid": {"sweep.kfold": [2, 3]}}, "a sweep cannot vary its own section"),
        ({"kfold": 5, "resample": 10}, "sweep.resample: draws new training sets"),
        ({"grid": {"data.seed": [1, 2]}, "resample": 10}, "sweep.grid: data.seed has no effect beside resample"),
        ({"zip": {"a": [3, 4], "data.seed": [1, 2]}, "resample": 10}, "sweep.zip: data.seed has no effect"),
        (
            {"random": {"samples": 2, "space": {"data.seed": [1, 2]}}, "resample": 10},
            "sweep.random: data.seed has no effect",
        ),
        ({}, "varies nothing"),
        ({"random": {"samples": 2, "space": {"a": {"low": 2, "high": 1}}}}, "low must be below high"),
        ({"random": {"samples": 2, "space": {"a": {"low": 0, "high": 1, "log": True}}}}, "must start above 0"),
        ({"random": {"samples": 2, "space": {"a": {"low": 0.5, "high": 2, "int": True}}}}, "whole number beside int"),
    ],
)
def test_mistakes(section, output):
    assert any(output in message for message in messages(section))


def test_all_mistakes_at_once():
    assert len(messages({"grid": {"a": [1, 1]}, "zip": {"b": [1], "c": [1, 2]}, "kfold": 2, "resample": 2})) == 3


def test_resample_alone_is_a_sweep_of_one_point():
    assert axes({"resample": 100}, seed=0) == []
