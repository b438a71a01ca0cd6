"""Values laid over a config, from the command line and from Python."""

import shlex
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as hypothesis_given
from hypothesis import strategies as st

from dlcourse import config
from dlcourse.config.overrides import apply_overrides, parse_overrides
from dlcourse.config.writer import dump
from dlcourse.errors import ConfigError
from tests.config.test_writer import VALUES, same


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("train.epochs=2", "train.epochs", 2),
        ("optimizer.lr=1e-3", "optimizer.lr", 0.001),
        ("data.path=a=b==c", "data.path", "a=b==c"),
        ("model.hidden=[1, 2]", "model.hidden", [1, 2]),
        ("model={name: mlp, hidden: [3]}", "model", {"name": "mlp", "hidden": [3]}),
        ("model.tag=", "model.tag", None),
        ("model.tag=''", "model.tag", ""),
        ("model.tag=on", "model.tag", "on"),
        (" model.tag =x", "model.tag", "x"),
        ("data.delimiter=,", "data.delimiter", ","),
        ("data.delimiter=|", "data.delimiter", "|"),
        ("data.delimiter=\t", "data.delimiter", "\t"),
        ("data.thousands= ", "data.thousands", " "),
        ("data.split=~", "data.split", None),
    ],
)
def test_one_text(text: str, path: str, value: Any) -> None:
    parsed, _ = parse_overrides([text])
    assert same(parsed, {path: value})


@hypothesis_given(VALUES)
def test_any_value_survives_the_command_line(value: Any) -> None:
    text = dump({"key": value}, width=10**6).removeprefix("key:").rstrip("\n")
    parsed, _ = parse_overrides([f"data.x={text}"])
    assert same(parsed, {"data.x": value})


@hypothesis_given(st.text(max_size=30))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_escapes(text: str) -> None:
    """Whatever stands behind ``=``, there is a value or a ConfigError in one line."""
    try:
        parsed, _ = parse_overrides([f"key={text}"])
    except ConfigError as error:
        assert all("\n" not in str(problem) for problem in error.problems)
    else:
        assert list(parsed) == ["key"]


def test_the_message_shows_the_quoting() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_overrides(["data.path=*it's.csv"])
    shown = str(caught.value).partition("in quotes it is a text: ")[2]
    assert parse_overrides(shlex.split(shown))[0] == {"data.path": "*it's.csv"}


def test_texts_that_are_none() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_overrides(["epochs", "=3", "a.b=[1", "c=&x 1", "d=1", "d=2", "e=.inf"])
    assert str(caught.value).splitlines() == [
        "command line: expected key=value, such as train.epochs=2, got 'epochs'",
        "command line: expected key=value, such as train.epochs=2, got '=3'",
        *[line for line in str(caught.value).splitlines() if line.startswith("command line: a.b: ")],
        "command line: c: anchor &x: a config has no anchors, in 'c=&x 1'",
        "command line: d: given twice",
        "command line: e: .inf is not a finite number, in 'e=.inf'",
    ]


def test_places(given: dict[str, Any]) -> None:
    overrides = {
        "seed": 3,
        "data.samples": 9,
        "data.kfold.folds": 4,
        "model.hidden.1": 5,
        "loss.smoothing": 0.5,
        "metrics.0.order": 1,
        "optimizer.schedule": None,
    }
    laid, paths = apply_overrides(given, overrides)
    assert laid["seed"] == 3
    assert laid["data"]["samples"] == 9
    assert laid["data"]["kfold"] == {"folds": 4}
    assert laid["model"]["hidden"] == [8, 5]
    assert laid["loss"] == {"name": "t_cost", "smoothing": 0.5}
    assert laid["metrics"] == [{"name": "t_distance", "order": 1}]
    assert laid["optimizer"]["schedule"] is None
    assert ("model", "hidden", 1) in paths
    assert given["model"]["hidden"] == [8, 4], "the config itself is left alone"
    assert given["loss"] == "t_cost"


def test_paths_within_a_sweep(given: dict[str, Any]) -> None:
    laid, _ = apply_overrides(given, {"sweep.grid.model.tag": ["a", "b"], "sweep.random.space.optimizer.lr": [1]})
    assert laid["sweep"] == {"grid": {"model.tag": ["a", "b"]}, "random": {"space": {"optimizer.lr": [1]}}}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.hidden.2=1", "command line: model.hidden.2: model.hidden is a list; its indices are 0 to 1"),
        ("model.hidden.x=1", "command line: model.hidden.x: model.hidden is a list; its indices are 0 to 1"),
        ("train.epochs.x=1", "command line: train.epochs.x: train.epochs is 5, which has no keys"),
        ("model.hiden=[1]", "command line: model.hiden: unknown key of model t_net (did you mean 'hidden'?"),
        ("model.hidden.0=0", "command line: model.hidden.0: expected a whole number of at least 1, got 0"),
        (
            "optimizer.lr=[0.1,1]",
            "command line: optimizer.lr: expected a number, got [0.1, 1] "
            "(to try each value: sweep.grid.optimizer.lr=[0.1,1])",
        ),
        ("optimizer.lr='1'", "command line: optimizer.lr: expected a number, got '1', which is text"),
        ("x=1", "command line: x: unknown key (valid: name, "),
        ("=1", "command line: expected key=value"),
        ("model..x=1", "command line: expected key=value"),
    ],
)
def test_the_same_checks_as_in_a_file(given: dict[str, Any], override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.from_mapping(given).apply_overrides([override])
    assert str(caught.value).startswith(message)


def test_from_python(given: dict[str, Any]) -> None:
    resolved = config.resolve(given, {"train.epochs": 2, "model.hidden": (1, 2)})
    assert resolved.data["train"]["epochs"] == 2
    assert resolved.data["model"]["hidden"] == [1, 2]
    assert resolved.overrides == {"train.epochs": 2, "model.hidden": [1, 2]}
    assert resolved.apply_overrides({"seed": 1}).overrides == {"train.epochs": 2, "model.hidden": [1, 2], "seed": 1}
    assert config.resolve(resolved) is resolved
    with pytest.raises(ConfigError, match="^overrides: train.epochs: expected a whole number, got 2.5"):
        config.resolve(given, {"train.epochs": 2.5})


def test_an_override_mends_what_the_config_has_wrong(given: dict[str, Any]) -> None:
    given["train"]["epochs"] = 0
    assert config.from_mapping(given, ["train.epochs=3"]).data["train"]["epochs"] == 3


def test_one_text_is_no_list_of_overrides() -> None:
    with pytest.raises(ConfigError, match="expected a mapping or a list of key=value, got the text 'seed=3'"):
        parse_overrides("seed=3")
