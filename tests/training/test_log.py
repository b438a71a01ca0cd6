import re
import warnings
from pathlib import Path

import pytest

from dlcourse.errors import DlcourseError
from dlcourse.training.log import Log


def test_every_line_gets_the_time_in_the_file_and_none_on_the_screen(tmp_path: Path, capsys) -> None:
    log = Log(tmp_path / "log.txt", quiet=False)
    log("one\ntwo")
    assert capsys.readouterr().out == "one\ntwo\n"
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert [re.sub(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", "", line) for line in lines] == ["one", "two"]


def test_a_file_that_cannot_be_written_is_loud(tmp_path: Path) -> None:
    with pytest.raises(DlcourseError, match="cannot write"):
        Log(tmp_path / "absent" / "log.txt", quiet=True)("one")


def test_warnings_become_notes_each_said_once(capsys) -> None:
    log = Log(None, quiet=False)
    with log.warnings():
        for _ in range(3):
            warnings.warn("few samples", RuntimeWarning, stacklevel=1)
        warnings.warn("something else", UserWarning, stacklevel=1)
    assert capsys.readouterr().out == "note: few samples\nnote: something else\n"
