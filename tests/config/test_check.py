"""What signatures say: types, bounds, required and unknown keys, components; each mistake in one line of words."""

from dataclasses import fields
from typing import Any

import pytest

from dlcourse import config, registry
from dlcourse.config.data_sections import DataOptions
from dlcourse.config.reader import MAX_PROBLEMS
from dlcourse.config.sections import ExperimentOptions, TrainOptions
from dlcourse.errors import ConfigError, UserError


def problems(given: dict[str, Any]) -> dict[str, str]:
    """What is wrong with a config, by path."""
    with pytest.raises(ConfigError) as caught:
        config.from_mapping(given)
    assert caught.value.exit_code == 2
    return {problem.path: problem.message for problem in caught.value.problems}


def put(given: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The config with a value at a path."""
    there = given
    *sections, key = path.split(".")
    for section in sections:
        there = there[section]
    there[key] = value
    return given


def test_defaults_are_filled_in(given: dict[str, Any]) -> None:
    resolved = config.from_mapping(given).data
    shared = {field.name for field in fields(DataOptions)}
    assert list(resolved) == [field.name for field in fields(ExperimentOptions)]
    assert {key: value for key, value in resolved["data"].items() if key not in shared} == {
        "name": "t_cloud",
        "samples": 100,
        "center": [0.0, 0.0],
        "noise": 1.0,
    }
    assert shared < resolved["data"].keys()
    assert resolved["data"]["split"] == {"train": 0.6, "val": 0.2, "test": 0.2}
    assert resolved["data"]["kfold"] is None
    assert resolved["model"] == {
        "name": "t_net",
        "hidden": [8, 4],
        "activation": "relu",
        "dropout": 0.0,
        "scale": "auto",
        "tag": None,
        "bounds": None,
    }
    assert resolved["loss"] == {"name": "t_cost", "smoothing": 0.0, "weights": None}
    assert resolved["optimizer"] == {
        "name": "t_descent",
        "lr": 0.1,
        "momentum": 0.0,
        "nesterov": False,
        "schedule": {"name": "t_ramp", "warmup": 3},
        "groups": None,
    }
    assert resolved["metrics"] == [{"name": "t_distance", "order": 2}]
    assert list(resolved["train"]) == [field.name for field in fields(TrainOptions)]
    assert resolved["train"]["epochs"] == 5
    assert resolved["train"]["batch_size"] == 32
    assert (resolved["name"], resolved["seed"], resolved["device"]) == ("trial", 0, "auto")
    assert resolved["sweep"] is None


def test_every_key_that_is_written_counts(given: dict[str, Any]) -> None:
    given["data"] |= {"samples": 7, "center": [1, 2], "limit": {"train": 3}, "kfold": {"folds": 4}}
    given["train"] |= {"best": {"metric": "loss"}, "clip_norm": 2, "batch_size": "full"}
    resolved = config.from_mapping(given).data
    assert resolved["data"]["samples"] == 7
    assert resolved["data"]["center"] == [1.0, 2.0]
    assert isinstance(resolved["data"]["center"][0], float)
    assert resolved["data"]["limit"] == {"train": 3, "val": None, "test": None}
    assert resolved["data"]["kfold"] == {"folds": 4, "fold": 0}
    assert resolved["train"]["best"] == {"metric": "loss", "split": "val"}
    assert resolved["train"]["clip_norm"] == 2.0
    assert resolved["train"]["batch_size"] == "full"


CASES = [
    # whole numbers
    ("data.samples", "7", "expected a whole number, got '7', which is text: take off the quotes"),
    ("data.samples", True, "expected a whole number, got true"),
    ("data.samples", 7.0, "expected a whole number, got 7.0: write 7"),
    ("data.samples", 7.5, "expected a whole number, got 7.5"),
    ("data.samples", 0, "expected a whole number of at least 1, got 0"),
    ("data.samples", None, "expected a whole number, got nothing"),
    ("data.samples", [1], "expected a whole number, got [1]"),
    # numbers
    ("optimizer.lr", "1e-3", "expected a number, got '1e-3', which is text: take off the quotes"),
    ("optimizer.lr", "fast", "expected a number, got 'fast'"),
    ("optimizer.lr", True, "expected a number, got true"),
    ("optimizer.lr", 0, "expected a number above 0, got 0"),
    ("optimizer.lr", -0.5, "expected a number above 0, got -0.5"),
    ("model.dropout", 1, "expected a number below 1, got 1"),
    ("loss", {"name": "t_cost", "smoothing": 1.5}, ("loss.smoothing", "expected a number of at most 1, got 1.5")),
    # truth values
    ("optimizer.nesterov", 1, "expected true or false, got 1"),
    ("optimizer.nesterov", "yes", "expected true or false, got 'yes'"),
    # text and choices
    ("model.tag", 3, "expected text, got 3: put it in quotes"),
    ("model.activation", "rellu", "expected relu or tanh, got 'rellu' (did you mean 'relu'?)"),
    ("precision", "float16", "expected float32, float64, tf32, fp16 or bf16, got 'float16' (did you mean 'fp16'?)"),
    ("precision", "fp32", "expected float32, float64, tf32, fp16 or bf16, got 'fp32' (did you mean 'float32'?)"),
    ("precision", "fp64", "expected float32, float64, tf32, fp16 or bf16, got 'fp64' (did you mean 'float64'?)"),
    ("device", "gpu", "expected auto, cpu, cuda or cuda:N, got 'gpu'"),
    # lists and tuples
    ("model.hidden", True, "expected a list, got true"),
    ("model.hidden", [8, 0], ("model.hidden.1", "expected a whole number of at least 1, got 0")),
    ("data.center", [1], "expected 2 entries, got 1"),
    ("data.center", [1, 2, 3], "expected at most 2 entries, got [1, 2, 3]"),
    ("data.center", [1, "a"], ("data.center.1", "expected a number, got 'a'")),
    ("data.center", {"x": 1}, "expected a list, got {'x': 1}"),
    # one of several types
    ("train.batch_size", "ful", "expected a whole number or full, got 'ful' (did you mean 'full'?)"),
    ("train.batch_size", 0, "expected a whole number of at least 1 or full, got 0"),
    ("train.batch_size", 1.5, "expected a whole number or full, got 1.5"),
    ("model.scale", -1, "expected a number above 0 or auto, got -1"),
    ("data.split.val", 1.5, "expected a whole number or a number of at most 1, got 1.5"),
    (
        "loss",
        {"name": "t_cost", "weights": {"a": "x"}},
        (
            "loss.weights.a",
            "expected a number or true or false, got 'x'",
        ),
    ),
    ("model.bounds", [[0, 1]] * 4, "expected at most 3 entries, got [[0, 1], [0, 1], [0, 1], [0, 1]]"),
    ("model.bounds", [[0, 1], [0]], ("model.bounds.1", "expected 2 entries, got 1")),
    # sections
    ("train", 3, "expected a mapping, got 3"),
    ("data.split", "all", "expected a mapping, got 'all': write {val: 0.1, test: 0.1}"),
    ("train.early_stopping", True, "expected a mapping, got true: write {metric: loss, patience: 5}"),
    ("train", None, "expected a mapping, got nothing: what belongs to it stands below it, indented"),
    ("data.kfold", {}, ("data.kfold.folds", "required, but missing (how many)")),
    ("metrics", "t_distance", "expected a list, got 't_distance'"),
    # components
    ("loss", "t_cst", ("loss.name", "no loss 't_cst' (did you mean 't_cost'? valid: ")),
    ("loss", {"smoothing": 0.5}, ("loss.name", "required, but missing (valid: ")),
    ("loss", {"name": 3}, ("loss.name", "expected the name of a loss, got 3")),
    ("loss", 3, "expected a name, or a mapping of a name and parameters, got 3"),
    ("optimizer.schedule", "t_rmp", ("optimizer.schedule.name", "no schedule 't_rmp' (did you mean 't_ramp'? valid: ")),
    ("optimizer.schedule.warmup", -1, "expected a whole number of at least 0, got -1"),
    (
        "metrics",
        [{"name": "t_distance", "order": 0}],
        (
            "metrics.0.order",
            "expected a whole number of at least 1, got 0",
        ),
    ),
    # what the constructor itself refuses
    ("data.noise", 101, "at most the number of samples, got 101"),
    # names of runs become folders
    ("name", "../../x", "expected at most 100 letters, digits,"),
    ("name", "/abs", "expected at most 100 letters, digits,"),
    ("name", "..", "expected at most 100 letters, digits,"),
    ("name", "", "expected at most 100 letters, digits,"),
    ("name", "a" * 300, "expected at most 100 letters, digits,"),
    ("name", "a\n", "expected at most 100 letters, digits,"),
    ("name", 3, "expected text, got 3: put it in quotes"),
    ("seed", -1, "expected a whole number of at least 0, got -1"),
    ("seed", 2**64, "expected a whole number of at most 18446744073709551615, got 18446744073709551616"),
]


@pytest.mark.parametrize(("path", "value", "message"), CASES, ids=[f"{path}={str(v)[:20]}" for path, v, _ in CASES])
def test_messages(given: dict[str, Any], path: str, value: Any, message: str | tuple[str, str]) -> None:
    expected_path, start = message if isinstance(message, tuple) else (path, message)
    found = problems(put(given, path, value))
    assert list(found) == [expected_path]
    assert found[expected_path].startswith(start)
    assert "\n" not in found[expected_path]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_not_finite_from_python(given: dict[str, Any], value: float) -> None:
    assert problems(put(given, "optimizer.lr", value)) == {"optimizer.lr": f"{value} is not a finite number"}


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("sed", "unknown key (did you mean 'seed'? valid: name, seed, "),
        (
            "data.nois",
            "unknown key of data t_cloud (did you mean 'noise'? valid: name, samples, center, noise, split, ",
        ),
        ("data.split.tst", "unknown key (did you mean 'test'? valid: train, val, test)"),
        (
            "optimizer.learning",
            "unknown key of optimizer t_descent (valid: name, lr, momentum, nesterov, schedule, groups)",
        ),
        ("model.in_shape", "unknown key of model t_net (valid: name, hidden, activation, "),
        ("train.early", "unknown key (did you mean 'early_stopping'? valid: "),
    ],
)
def test_unknown_keys(given: dict[str, Any], path: str, message: str) -> None:
    found = problems(put(given, path, 1))
    assert list(found) == [path]
    assert found[path].startswith(message)


def test_an_empty_key(given: dict[str, Any]) -> None:
    given["model"][""] = 1
    assert problems(given)["model."].startswith("unknown key '' of model t_net (valid: name, ")


def test_a_key_in_the_wrong_section(given: dict[str, Any]) -> None:
    found = problems(given | {"lr": 0.1, "batch_sise": 3})
    assert found["lr"].endswith("; optimizer has a key 'lr'")
    assert found["batch_sise"].endswith("; train has a key 'batch_size'")


def test_required_keys_say_what_they_are() -> None:
    found = problems({"name": "x"})
    assert set(found) == {"data", "model", "optimizer"}
    assert found["data"] == "required, but missing (the data set, and how it is split)"
    assert problems({"data": "t_cloud", "model": "t_net", "optimizer": "t_solve"}) == {
        "model.hidden": "required, but missing (widths of its layers)"
    }


def test_all_at_once(given: dict[str, Any]) -> None:
    given["model"] = {"name": "t_net", "hidden": [1, "x", 0], "dropout": 2, "depth": 3}
    given["metrics"] = [{"name": "t_distance", "order": 0}, 3, "t_dist"]
    given["train"] = {"epochs": "5", "clip": 1}
    given["loss"] = {"name": "t_cst"}
    assert set(problems(given)) == {
        "model.hidden.1",
        "model.hidden.2",
        "model.dropout",
        "model.depth",
        "metrics.0.order",
        "metrics.1",
        "metrics.2.name",
        "train.epochs",
        "train.clip",
        "loss.name",
    }


def test_a_component_is_named_alone_or_as_a_mapping(given: dict[str, Any]) -> None:
    alone = config.from_mapping(given).data
    assert config.from_mapping(given | {"loss": {"name": "t_cost"}, "metrics": [{"name": "t_distance"}]}).data == alone


def test_resolved_configs_resolve_to_themselves(given: dict[str, Any]) -> None:
    resolved = config.from_mapping(given)
    again = config.from_mapping(resolved.data)
    assert again.data == resolved.data
    assert again.dump() == resolved.dump()


def test_a_parameter_cannot_have_the_name_of_a_shared_key(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clash:
        """A data set."""

        def __init__(self, split: int = 3):
            self.split = split

    monkeypatch.setitem(registry.registered["data"], "t_clash", Clash)
    with pytest.raises(UserError, match="'split' has the name of a key that every data has"):
        config.from_mapping(given | {"data": "t_clash"})


def test_no_more_problems_than_anybody_reads(given: dict[str, Any]) -> None:
    """A file of 1 MiB can hold a hundred thousand mistakes."""
    for wrong in ({f"key{i}": 1 for i in range(10**5)}, {"model": {"name": "t_net", "hidden": ["x"] * 10**5}}):
        with pytest.raises(ConfigError) as caught:
            config.from_mapping(given | wrong)
        assert len(caught.value.problems) <= MAX_PROBLEMS + 3
        assert str(caught.value.problems[-1]) == f"and perhaps more after these {MAX_PROBLEMS}"
