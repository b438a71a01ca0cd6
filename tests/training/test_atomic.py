import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

from dlcourse.errors import DlcourseError
from dlcourse.training import atomic

from .forks import dies_at


def test_a_file_is_the_old_or_the_new_one_whenever_the_process_dies(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old" * 1000)
    moments = 0
    while dies_at(moments, lambda: atomic.write_bytes(path, b"new!" * 1000)):
        assert path.read_bytes() in (b"old" * 1000, b"new!" * 1000)
        moments += 1
    assert moments >= 5
    assert path.read_bytes() == b"new!" * 1000


def test_leftovers_of_a_killed_process_are_removed_and_nothing_else(tmp_path: Path) -> None:
    assert dies_at(2, lambda: atomic.write_bytes(tmp_path / "file", b"content"))
    (tmp_path / ".lock").write_bytes(b"")
    assert len(list(tmp_path.iterdir())) == 2
    atomic.remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_refused_write_is_one_clear_line_and_leaves_nothing_behind(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DlcourseError, match=r"cannot write .*file: No space left on device"):
        atomic.write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_has_null_for_what_is_no_finite_number(tmp_path: Path) -> None:
    path = tmp_path / "file"
    value = {"a": [math.nan, 1.5, (math.inf, 2)], "b": {"c": -math.inf, "d": "NaN"}, "e": np.float64("nan"), "f": True}
    atomic.write_json(path, value)
    read = json.loads(path.read_text(), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert read == {"a": [None, 1.5, [None, 2]], "b": {"c": None, "d": "NaN"}, "e": None, "f": True}


def test_link_replaces_and_falls_back_to_a_copy(tmp_path: Path, monkeypatch) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"1")
    two.write_bytes(b"2")
    atomic.link(one, two)
    atomic.link(one, two)  # once more, when both are one file already
    assert two.read_bytes() == b"1"

    def unsupported(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", unsupported)
    one.write_bytes(b"3")
    atomic.link(one, two)
    assert two.read_bytes() == b"3"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]
