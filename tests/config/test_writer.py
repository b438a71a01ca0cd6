"""What is written reads back as the very same data, here and with a reader of YAML 1.1."""

import enum
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from dlcourse.config.reader import parse_yaml
from dlcourse.config.section_schema import plain
from dlcourse.config.writer import dump
from dlcourse.errors import ConfigError

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
AWKWARD = st.sampled_from(
    ["1e3", "1e-3", "on", "010", "1:30", "2024-01-31", "~", "null", "", " x ", "a: b", "a #b", "\n", "x\n\ny ", "\x85"]
    + [
        "0x1F",
        ".nan",
        "=",
        "<<",
        "!tag",
        "&a",
        "*a",
        "- a",
        "? a",
        "%a",
        "@a",
        "`a",
        "'",
        '"',
        "\ufeff",
        "\u2028",
        "😀",
    ]
)
INTEGERS = st.integers(-(10**90), 10**90)
SCALARS = st.none() | st.booleans() | INTEGERS | st.floats(allow_nan=False, allow_infinity=False) | TEXT | AWKWARD
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT | AWKWARD, inner, max_size=5),
    max_leaves=20,
)


def same(one: Any, other: Any) -> bool:
    """Equal, with the same types and signs of zero."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float):
        return one == other and math.copysign(1, one) == math.copysign(1, other)
    return one == other


@given(st.dictionaries(TEXT | AWKWARD, VALUES, max_size=5))
@example({"lr": 1e-07, "big": 1e16, "tiny": 5e-324, "zero": -0.0, "third": 1 / 3})
def test_round_trip(data: dict[str, Any]) -> None:
    text = dump(data)
    assert same(parse_yaml(text).data, data)
    assert same(yaml.safe_load(text), data)


def test_layout() -> None:
    data = {
        "model": {"name": "mlp", "hidden": [64, 32]},
        "long": {"values": list(range(40)), "more": [{"a": 1}]},
        "none": None,
    }
    assert dump(data) == (
        "model: {name: mlp, hidden: [64, 32]}\n"
        "long:\n"
        "  values:\n" + "".join(f"  - {i}\n" for i in range(40)) + "  more: [{a: 1}]\n"
        "none: null\n"
    )


class Color(enum.StrEnum):
    RED = "red"


def test_plain() -> None:
    value = {
        "tuple": (1, (2.5,)),
        "numpy": [np.float64(0.1), np.int64(3), np.float32(0.5), np.bool_(True), np.arange(3)],
        "path": Path("a/b"),
        "enum": Color.RED,
        3: None,
    }
    expected = {"tuple": [1, [2.5]], "numpy": [0.1, 3, 0.5, True, [0, 1, 2]], "path": "a/b", "enum": "red", "3": None}
    assert same(plain(value), expected)


@pytest.mark.parametrize("bad", [math.nan, -math.inf, object(), {1, 2}, b"x", np.array([np.nan])])
def test_no_config_holds_it(bad: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        plain({"a": [0, bad]})
    assert caught.value.problems[0].path.startswith("a.1")
