from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

import pytest

from dlcourse.errors import DamagedFileError
from dlcourse.records.check import Wrong, check, sound
from dlcourse.records.reading import parse_events, read
from dlcourse.records.run import Environment, RunState
from dlcourse.records.sweep import PointState, SweepState


class Part(TypedDict):
    size: int
    unit: NotRequired[str | None]


@dataclass
class Whole:
    name: str
    parts: list[Part]
    kind: Literal["a", "b"] = "a"
    sizes: dict[str, float | None] = field(default_factory=dict)
    anything: Any = None


def test_what_is_right_comes_back_and_unknown_keys_are_kept_where_they_can_be() -> None:
    value = {"name": "n", "parts": [{"size": 1, "later": [1]}], "sizes": {"x": 2, "y": 0.5, "z": None}, "new": 3}
    assert check(value, Whole) == Whole("n", [{"size": 1, "later": [1]}], "a", {"x": 2, "y": 0.5, "z": None})
    assert check({"sizes": {}, "name": "", "parts": [], "anything": {"a": [1]}}, Whole).anything == {"a": [1]}


@pytest.mark.parametrize("size", [2**63, 2**64 - 1, -(2**63)])
def test_a_whole_number_of_64_bits_is_read(size: int) -> None:
    assert check({"size": size}, Part) == {"size": size}
    with pytest.raises(Wrong, match="a number of many digits"):
        check({"size": 4 * size}, Part)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": 3}, "name: expected text, got 3"),
        ({"name": None}, "name: expected text, got null"),
        ({"parts": {}}, "parts: expected a list, got a mapping"),
        ({"parts": [[]]}, "parts.0: expected a mapping, got a list"),
        ({"parts": [{}]}, "parts.0.size: missing"),
        ({"parts": [{"size": 1}, {"size": True}]}, "parts.1.size: expected a whole number, got true"),
        ({"parts": [{"size": 1.5}]}, "parts.0.size: expected a whole number, got 1.5"),
        ({"parts": [{"size": 10**4000}]}, "parts.0.size: expected a whole number, got a number of many digits"),
        ({"parts": [{"size": 1, "unit": 1}]}, "parts.0.unit: expected text, got 1"),
        ({"kind": "c"}, 'kind: expected a or b, got "c"'),
        ({"kind": ["a"]}, "kind: expected a or b, got a list"),
        ({"sizes": []}, "sizes: expected a mapping, got a list"),
        ({"sizes": {"x": "1"}}, 'sizes.x: expected a finite number, got "1"'),
        ({"sizes": {"x": 10**400}}, "sizes.x: expected a finite number, got a number of many digits"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_wrong_is_named(change: dict, message: str) -> None:
    with pytest.raises(Wrong) as caught:
        check({"name": "n", "parts": [], **change}, Whole)
    assert str(caught.value) == message


@pytest.mark.parametrize("value", [None, 1, "x", [], [1]], ids=str)
def test_what_is_no_mapping_at_all(value: object) -> None:
    with pytest.raises(Wrong, match="the whole: expected a mapping"):
        check(value, Whole)


def test_numbers_that_are_not_finite_count_as_none_where_none_may_stand() -> None:
    assert check({"x": float("nan"), "y": float("inf")}, dict[str, float | None]) == {"x": None, "y": None}
    with pytest.raises(Wrong, match="x: expected a finite number, got NaN"):
        check({"x": float("nan")}, dict[str, float])


def test_a_sweeps_paths_stay_within_its_folder() -> None:
    for place in ("/etc", "../../x", "points/../../x"):
        with pytest.raises(Wrong, match="points.0.folder: expected a path within the sweep's folder"):
            check([{"id": "0", "overrides": {}, "folder": place}], list[PointState], "points")


def test_who_shows_what_there_is_leaves_out_what_is_wrong() -> None:
    found, faults = sound({"status": "done", "metrics": [], "seconds": 1.5, "other": {}}, RunState)
    assert found == {"status": "done", "seconds": 1.5, "other": {}}
    assert faults == ["metrics: expected a mapping, got a list"]
    assert sound([], RunState) == ({}, ["expected a mapping, got a list"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b'{"status": "do', "Unterminated string"),
        (b"\xff\xfe{", "no UTF-8 text"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"1" * 10_000, "Exceeds the limit"),
        (b'{"plugins": [1]}', "plugins.0: expected a mapping, got 1"),
        (b'{"plugins": [{"path": "x"}]}', "plugins.0.sha256: missing"),
        (b'{"command": {}}', "command: expected a list, got a mapping"),
        (b"[]", "the whole: expected a mapping, got a list"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_file_that_is_damaged_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "environment.json"
    path.write_bytes(content)
    with pytest.raises(DamagedFileError) as caught:
        read(path, Environment)
    messages = str(caught.value)
    assert messages.startswith(f"{path}: damaged: ") and message in messages and "\n" not in messages


def test_a_file_that_is_not_there_and_one_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "no.json", SweepState)
    with pytest.raises(DamagedFileError, match="cannot be read: Is a directory"):
        read(tmp_path, SweepState)


def test_the_lines_of_a_history() -> None:
    content = b'{"event": "train", "step": 1}\n\n{"event": "train"}\nxx\n\xff\n{"event": "eval", "step": 2}\n{"ev'
    events = parse_events(content)
    assert [event and event["step"] for event in events] == [1, None, None, None, None, 2]
