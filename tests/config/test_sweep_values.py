"""Every value of a sweep is checked as if it stood in the config."""

from typing import Any

import pytest

from dlcourse import config
from dlcourse.errors import ConfigError


def problems(given: dict[str, Any], **sweep: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config.from_mapping(given | {"sweep": sweep})
    return [str(problem) for problem in caught.value.problems]


def test_values_that_fit(given: dict[str, Any]) -> None:
    sweep = {
        "grid": {"model.hidden": [[1], [2, 3]], "loss.smoothing": [0, 0.5], "data.kfold": [None, {"folds": 3}]},
        "zip": {"optimizer": ["t_solve", {"name": "t_descent", "lr": 1}], "model.tag": ["a", "b"]},
        "random": {"samples": 3, "space": {"seed": {"low": 0, "high": 9, "int": True}, "model.dropout": [0, 0.1]}},
    }
    given["optimizer"] = "t_solve"
    resolved = config.from_mapping(given | {"sweep": sweep})
    assert resolved.data["sweep"]["grid"] == sweep["grid"]
    assert resolved.data["sweep"]["random"]["space"]["seed"] == {"low": 0.0, "high": 9.0, "log": False, "int": True}


def test_errors_name_the_value(given: dict[str, Any]) -> None:
    assert problems(given, grid={"model.dropout": [0, 1, "x"], "data.samples": [5, True]}) == [
        "sweep.grid.model.dropout.1: 1: expected a number below 1, got 1",
        "sweep.grid.model.dropout.2: 'x': expected a number, got 'x'",
        "sweep.grid.data.samples.1: true: expected a whole number, got true",
    ]


def test_paths_are_those_of_the_config(given: dict[str, Any]) -> None:
    (problem,) = problems(given, grid={"model.hiden": [[1]]})
    assert problem.startswith("sweep.grid.model.hiden.0: [1]: unknown key of model t_net (did you mean 'hidden'?")
    (problem,) = problems(given, grid={"train.epochs.x": [1]})
    assert problem == "sweep.grid.train.epochs.x.0: 1: train.epochs is 5, which has no keys"
    (problem,) = problems(given, grid={"sweep.kfold": [1]})
    assert problem == "sweep.grid.sweep.kfold.0: a sweep cannot vary its own section, nor how many models are averaged"


def test_rules_between_keys_hold_in_a_sweep_too(given: dict[str, Any]) -> None:
    given["train"]["best"] = {"metric": "t_distance"}
    assert problems(given, grid={"data.split.val": [0.1, 0]}) == [
        "sweep.grid.data.split.val.1: 0: train.best.split: there is no validation split: "
        "give data.split.val or data.kfold, or say split: train"
    ]


def test_zip_goes_side_by_side(given: dict[str, Any]) -> None:
    given["optimizer"] = {"name": "t_solve"}
    fitting = {"optimizer.name": ["t_solve", "t_descent"], "optimizer.lr": [0.1, 0.2]}
    (problem,) = problems(given, zip=fitting)
    assert problem == (
        "sweep.zip.optimizer.name.0: optimizer.name='t_solve', optimizer.lr=0.1: optimizer.lr: "
        "unknown key of optimizer t_solve (valid: name, ridge, schedule, groups)"
    )


def test_ends_of_ranges(given: dict[str, Any]) -> None:
    space = {"optimizer.lr": {"low": 0, "high": 1}, "data.samples": {"low": 0, "high": 9, "int": True}}
    assert problems(given, random={"samples": 2, "space": space}) == [
        "sweep.random.space.optimizer.lr.low: 0.0: expected a number above 0, got 0.0",
        "sweep.random.space.data.samples.low: 0: expected a whole number of at least 1, got 0",
    ]
    (problem, *_) = problems(given, random={"samples": 2, "space": {"data.samples": {"low": 1, "high": 9}}})
    assert problem == "sweep.random.space.data.samples.low: 1.0: expected a whole number, got 1.0: write 1"


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ({"grid": {"model.tag": []}}, "sweep.grid.model.tag: expected at least 1 entries, got []"),
        ({"grid": {"model.tag": "a"}}, "sweep.grid.model.tag: expected a list, got 'a'"),
        (
            {"gird": {}},
            "sweep.gird: unknown key (did you mean 'grid'? valid: grid, zip, random, search, seeds, kfold, resample,",
        ),
        ({"kfold": 1}, "sweep.kfold: expected a whole number of at least 2, got 1"),
        ({"random": {"samples": 3}}, "sweep.random.space: required, but missing"),
        (
            {"random": {"samples": 3, "space": {"seed": {"low": 1}}}},
            "sweep.random.space.seed.high: required, but missing",
        ),
        (
            {"random": {"samples": 3, "space": {"seed": {"low": 1, "high": 2, "step": 1}}}},
            "sweep.random.space.seed.step: unknown key (valid: low, high, log, int)",
        ),
        (
            {"random": {"samples": 3, "space": {"seed": 3}}},
            "sweep.random.space.seed: expected a list or a mapping, got 3",
        ),
    ],
)
def test_the_section_itself(given: dict[str, Any], sweep: dict[str, Any], message: str) -> None:
    (problem,) = problems(given, **sweep)
    assert problem.startswith(message)


def test_what_is_wrong_anyway_is_said_once(given: dict[str, Any]) -> None:
    given["loss"] = "t_cst"
    found = problems(given, grid={"model.dropout": [0, 0.1, 3]})
    assert len(found) == 2
    assert found[0].startswith("loss.name: no loss 't_cst'")
    assert found[1] == "sweep.grid.model.dropout.2: 3: expected a number below 1, got 3"
