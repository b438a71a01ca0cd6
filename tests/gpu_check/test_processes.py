"""Processes that leave no child behind; a list of work goes on where one item breaks its process."""

import subprocess
import time

import pytest

WORKER = """
import sys, time
from processes import answer
for item in sys.argv[1:]:
    print("a library says", item)
    if item == "raises":
        raise ValueError("no good")
    if item == "aborts":
        import os
        os.abort()
    if item == "sleeps":
        time.sleep(60)
    if item == "leaves":
        import os
        os.system("sleep 30 &")
        os._exit(5)
    answer(got=item)
"""


def test_a_command_past_its_time_ends_with_all_that_it_started(lib, gone, tmp_path) -> None:
    command = ["bash", "-c", f"tail -f {tmp_path}/watched & touch {tmp_path}/begun; sleep 60"]
    (tmp_path / "watched").touch()
    with pytest.raises(subprocess.TimeoutExpired):
        lib("processes").run(command, 0.5)
    assert (tmp_path / "begun").exists() and gone(str(tmp_path))


def test_each_item_has_its_answer_whatever_becomes_of_the_others(lib) -> None:
    processes = lib("processes")
    command = processes.python("-c", WORKER)
    items = ["one", "raises", "two", "aborts", "sleeps", "leaves", "three"]
    found = dict(processes.in_turn(command, items, 2.0, time.monotonic() + 60))
    assert list(found) == items
    assert [found[name] for name in ("one", "two", "three")] == [{"got": name} for name in ("one", "two", "three")]
    assert found["raises"] == {"error": "ValueError: no good"}
    assert found["aborts"] == {"error": "ended by SIGABRT"}
    assert found["sleeps"] == {"error": "not done after 2 s", "late": True}
    assert found["leaves"] == {"error": "exit code 5"}


def test_nothing_is_begun_when_the_time_is_over(lib) -> None:
    processes = lib("processes")
    found = list(processes.in_turn(processes.python("-c", WORKER), ["one", "two"], 3.0, time.monotonic()))
    assert found == [(name, {"error": "no time left", "late": True}) for name in ("one", "two")]


def test_side_by_side_each_that_fails_says_why(lib) -> None:
    processes = lib("processes")
    code = {"well": "1", "raises": "raise ValueError('no good')", "sleeps": "import time; time.sleep(60)"}
    commands = {name: processes.python("-c", text) for name, text in code.items()}
    found = processes.side_by_side(commands, 3, time.monotonic() + 5)
    assert found.keys() == {"raises", "sleeps"} and found["raises"] == "ValueError: no good"
    assert found["sleeps"].startswith("not done after")
    assert processes.side_by_side(commands, 1, time.monotonic())["well"] == "no time left"
