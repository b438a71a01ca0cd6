"""Numbers, values, paths and tables in words."""

import csv
import io

import pytest

from dlcourse.text import (
    canonical,
    csv_text,
    format_number,
    format_value,
    leading_comment,
    metric_unit,
    short_paths,
    show_value,
    table,
)


def test_paths_are_told_apart_by_the_shortest_ending() -> None:
    paths = ["model.degree", "model.name", "optimizer.lr", "other.lr"]
    assert list(short_paths(paths).values()) == ["degree", "model.name", "optimizer.lr", "other.lr"]
    assert short_paths(["model.degree", "optimizer.lr"]) == {"model.degree": "degree", "optimizer.lr": "lr"}
    assert short_paths(["optimizer.warmup", "optimizer.schedule.warmup"]) == {
        "optimizer.warmup": "optimizer.warmup",
        "optimizer.schedule.warmup": "schedule.warmup",
    }
    assert short_paths(["model.name", "data.name", "data.kfold"]) == {
        "model.name": "model.name",
        "data.name": "data.name",
        "data.kfold": "fold",
    }
    assert short_paths(["data.limit.train"]) == {"data.limit.train": "limit.train"}


def test_values_in_words() -> None:
    assert [format_value(value) for value in (3, 0.001, 1e-7, 0.1 + 0.2, True, None, [128, 64], "full", [])] == [
        "3",
        "0.001",
        "1e-07",
        "0.30000000000000004",
        "true",
        "none",
        "128x64",
        "full",
        "[]",
    ]
    assert format_value({"name": "sgd", "lr": 0.1, "nesterov": True}) == "sgd(lr=0.1, nesterov=true)"
    assert format_value([1e-7, 0.1 + 0.2], exact=False) == "1e-7x0.3"
    assert format_value([50] * 10) == "x".join(["50"] * 10) and format_value([50] * 10, exact=False) == "10 times 50"


def test_numbers() -> None:
    assert [format_number(value) for value in (None, 0.000123456, 12345.678, float("nan"), float("inf"), 3)] == [
        "-",
        "0.0001235",
        "1.235e+04",
        "nan",
        "inf",
        "3",
    ]


def test_canonical_tells_types_apart() -> None:
    assert len({canonical(value) for value in (1, 1.0, True, "1", [1], None)}) == 6
    assert canonical({"a": 1, "b": 2}) == canonical({"b": 2, "a": 1})


def test_description_is_the_leading_comment() -> None:
    assert leading_comment("# one\n#  two\n\n# not this\nname: x\n") == "one\ntwo"
    assert leading_comment("name: x\n") == ""


def test_tables_are_aligned() -> None:
    assert table([["a", "1"], ["bcd", "22"]]) == "a     1\nbcd  22"
    assert table([["a", "1", "x"], ["bcd", "22", ""]], left=2) == "a    1   x\nbcd  22"
    assert table([["1", "a"]], left=[False, True], widths=[3, 5]) == "  1  a"
    assert table([]) == ""


def test_csv_keeps_precision_and_quotes() -> None:
    text = csv_text(["a", "b"], [[0.1 + 0.2, 'say "hi", all'], [None, [1, 2]], [True, {"x": 1}]])
    assert list(csv.reader(io.StringIO(text))) == [
        ["a", "b"],
        ["0.30000000000000004", 'say "hi", all'],
        ["", "[1, 2]"],
        ["true", '{"x": 1}'],
    ]


def test_units_take_the_targets_place() -> None:
    assert metric_unit("target^2", "dollars") == "dollars^2"
    assert metric_unit("target^2", "") == ""
    assert metric_unit("nats", "dollars") == "nats"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1e-06, "1e-6"),
        (0.1, "0.1"),
        (None, "none"),
        (True, "true"),
        ([128, 64], "128x64"),
        (["half_sse", {"name": "mse"}, "r2"], "half_sse+mse+r2"),
        ({"name": "adam", "lr": 0.01}, "adam(lr=0.01)"),
        ({"name": "relu"}, "relu"),
        ({"folds": 5, "fold": 2}, "2"),
        ([], "[]"),
    ],
)
def test_swept_value(value: object, text: str) -> None:
    assert show_value(value) == text
