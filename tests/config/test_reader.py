"""YAML as configs have it: what each scalar means, and what is refused."""

from typing import Any

import pytest
import yaml

from dlcourse.config import reader
from dlcourse.config.reader import MAX_DEPTH, MAX_PROBLEMS, parse_yaml
from dlcourse.errors import ConfigError


@pytest.fixture(params=["C", "Python"], autouse=True)
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyYAML's two parsers: in C where it was built with it, else in Python."""
    if request.param == "C" and not hasattr(yaml, "CSafeLoader"):
        pytest.skip("PyYAML was built without its C parser")
    monkeypatch.setattr(reader, "_Loader", yaml.CSafeLoader if request.param == "C" else yaml.SafeLoader)


SCALARS = {
    "1": 1,
    "-7": -7,
    "+7": 7,
    "1_000": 1000,
    "0": 0,
    "010": 10,
    "0x1F": 31,
    "0o17": 15,
    "1.5": 1.5,
    "-.5": -0.5,
    "1.": 1.0,
    "1e-3": 0.001,
    "1e3": 1000.0,
    "1.e3": 1000.0,
    "-2.5E+3": -2500.0,
    "1e-400": 0.0,
    "true": True,
    "False": False,
    "null": None,
    "~": None,
    "": None,
    "on": "on",
    "off": "off",
    "yes": "yes",
    "No": "No",
    "y": "y",
    "1:30": "1:30",
    "1:30:00.5": "1:30:00.5",
    "2024-01-31": "2024-01-31",
    "1_": "1_",
    "e3": "e3",
    ".": ".",
    "0x": "0x",
    "1e": "1e",
    "nan": "nan",
    "inf": "inf",
    "=": "=",
    "'1e3'": "1e3",
    '"true"': "true",
    "''": "",
    "a=b": "a=b",
    "٣": "٣",
}


@pytest.mark.parametrize(("text", "value"), SCALARS.items())
def test_scalars(text: str, value: Any) -> None:
    read = parse_yaml(f"key: {text}").data["key"]
    assert read == value
    assert type(read) is type(value)


def test_keys_are_text() -> None:
    assert parse_yaml("{1: a, on: b, null: c, 010: d, 1e3: e}").data == {
        "1": "a",
        "on": "b",
        "null": "c",
        "010": "d",
        "1e3": "e",
    }


def test_lines() -> None:
    document = parse_yaml("# head\na:\n  b:\n  - 1\n  - c: 2\nd: {e: 3}\n")
    assert document.data == {"a": {"b": [1, {"c": 2}]}, "d": {"e": 3}}
    assert document.lines == {
        (): 2,
        ("a",): 2,
        ("a", "b"): 3,
        ("a", "b", 0): 4,
        ("a", "b", 1): 5,
        ("a", "b", 1, "c"): 5,
        ("d",): 6,
        ("d", "e"): 6,
    }


REFUSED = {
    "a: .nan": "f:1: a: .nan is not a finite number",
    "a: [1, -.inf]": "f:1: a.1: -.inf is not a finite number",
    "a: 1e999": "f:1: a: 1e999 is too large for a number",
    f"a: {'1' * 5000}": "f:1: a: a number of 5000 characters; at most 100 are read",
    f"a: 0x{'1' * 5000}": "f:1: a: a number of 5002 characters; at most 100 are read",
    "a:\n\tb: 1": "f:2: a tab; YAML indents with spaces",
    "a: 1\nb: 2\na: 3": "f:3: a: duplicate key; the first is in line 1",
    "a:\n  b: 1\n  b: 2": "f:3: a.b: duplicate key; the first is in line 2",
    "a: &x 1": "f:1: a: anchor &x: a config has no anchors",
    "a: 1\n---\nb: 2": "f:2: a second document starts here; a config is one document",
    "a: !!python/object/apply:os.system [ls]": "f:1: a: tag !!python/object/apply:os.system: a config has no tags",
    "a: !!str 1": "f:1: a: tag !!str: a config has no tags",
    "a: !own 1": "f:1: a: tag !own: a config has no tags",
    "? [1]\n: 2": "f:1: a key must be plain text, not a list or a mapping",
    "{name:sgd, b: 1}": "f:1: name:sgd: a space is missing after the colon: write name: sgd",
    "seed:1\na: {b: 2}": "f:1: a space is missing after the colon: write seed: 1",
    "a:\n  b: 1\n  c:2\nd: 3": "f:3: a space is missing after the colon: write c: 2",
    "a:\n  b: 1\n c: 2": "f:3: begins after 1 space, and the lines above after 0 or 2: keys that belong together",
    "a:\n  b: 1\n   c: 2": "f:3: begins after 3 spaces, and the lines above after 0 or 2: keys that belong together",
    "a: {b: 1\nc: 2": "f:2: the '{' of line 1 is not closed, or a comma is missing",
    "a: b: c": "f:1: mapping values are not allowed",
    "a: @b": "f:1: found character '@' that cannot start any token (put text that starts with it in quotes)",
    'a: "\\0"': "f:1: a: a NUL or half of a surrogate pair is not text",
    "a: 'b": "f:1: found unexpected end of stream",
    "a: \x01": "f: unacceptable character #x0001",
    "- " * 5000 + "1": f"f:1: nested deeper than {MAX_DEPTH} levels",
}


@pytest.mark.parametrize(("text", "message"), REFUSED.items(), ids=[text[:30] for text in REFUSED])
def test_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "f")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_cyclic_and_exploding_aliases() -> None:
    with pytest.raises(ConfigError, match=r"alias \*x"):
        parse_yaml("a: &x [*x]")
    bomb = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12))
    with pytest.raises(ConfigError, match="anchor &a0"):
        parse_yaml(bomb)


@pytest.mark.parametrize("nested", ["[" * 3000, "{a: " * 3000, "[" * 3000 + "]" * 3000])
def test_deep_flow(nested: str) -> None:
    with pytest.raises(ConfigError, match="nest"):
        parse_yaml(nested)


def test_depth_that_is_allowed() -> None:
    value = parse_yaml("[" * MAX_DEPTH + "]" * MAX_DEPTH).data
    for _ in range(MAX_DEPTH - 1):
        (value,) = value
    assert value == []


def test_all_problems_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_yaml("a: .nan\na: 1e999\nb: &x 1\nc: *x\n", "f")
    assert [(problem.line, problem.path) for problem in caught.value.problems] == [
        (1, "a"),
        (2, "a"),
        (2, "a"),
        (3, "b"),
        (4, "c"),
    ]


def test_no_more_problems_than_anybody_reads() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_yaml("a: .nan\n" * 10**4, "f")
    assert len(caught.value.problems) == MAX_PROBLEMS + 1
    assert str(caught.value.problems[-1]) == f"f: and perhaps more after these {MAX_PROBLEMS}"
