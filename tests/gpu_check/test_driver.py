"""scripts/gpu_check: whatever becomes of a part, the others run, and its exit code and JSON say what came of it."""

import json
import os
import time
from pathlib import Path

import pytest

from dlcourse.backend.diagnostics import probe

PASSES = "def check(task):\n    return {'status': 'passed', 'detail': f'fine on {task.device}'}\n"
BREAKS = "def check(task):\n    raise RuntimeError('broken')\n"
FAILS = "def check(task):\n    return {'status': 'failed', 'detail': 'off', 'failures': ['a: 1', 'b: 2']}\n"
SKIPS = "from gpu.part import no_gpu\ndef check(task):\n    return no_gpu()\n"
CRASHES = """
import os, signal
def check(task):
    task.note({'status': 'unfinished', 'detail': 'half of it', 'kept': 1})
    os.kill(os.getpid(), signal.SIGSEGV)
"""
HANGS = """
import time
from processes import python, started
def check(task):
    task.note({'status': 'unfinished', 'detail': 'half of it'})
    with started(python('-c', "import time; open('BEGUN', 'w').close(); time.sleep(300)")):
        time.sleep(60)
"""
SLOW = """
from processes import python, run
def check(task):
    run(python('-c', 'import time; time.sleep(30)'), task.left)
"""
SEEN = {"status": "passed", "detail": "fine"}
TABLE = "def check(task):\n    return {'status': 'passed', 'detail': 'fine', 'table': ['| a |', '| 1 |']}\n"


@pytest.fixture
def start(lib, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """``start({name: (code, limit)}, gpu=True)``: exit code and what was written."""
    check = lib("gpu_check")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ['PYTHONPATH']}")

    def run(parts: dict[str, tuple[str, float]], gpu: bool, *arguments: str) -> tuple[int, dict]:
        for name, (code, _) in parts.items():
            (tmp_path / f"made_{name}.py").write_text(code)
        made = {name: check.Part(f"made_{name}", 1, limit) for name, (_, limit) in parts.items()}
        monkeypatch.setattr(check, "PARTS", made)
        monkeypatch.setattr(check, "GRACE", 0.5)
        monkeypatch.setattr(check, "without_gpu", lambda timeout: None if gpu else "no driver")
        monkeypatch.setattr(check, "START", 0.0)
        monkeypatch.setattr(check.signal, "signal", lambda *_: None)  # the test's process keeps its own
        monkeypatch.setattr("sys.argv", ["gpu_check", "--json", str(tmp_path / "out.json"), *arguments])
        code = check.main()
        return code, json.loads((tmp_path / "out.json").read_text())

    return run


@pytest.mark.parametrize(("call", "seconds"), [("FIRST", 230), ("SECOND", 420)])
def test_every_part_is_there_and_their_limits_fit_the_call(lib, call: str, seconds: float) -> None:
    check = lib("gpu_check")
    parts = {name: check.PARTS[name] for name in getattr(check, call)}
    assert all(callable(lib(part.module).check) for part in parts.values())
    assert all(part.planned <= part.limit for part in parts.values())
    # One that hangs is given its grace twice; the next has that much less.
    assert check.START + sum(part.limit for part in parts.values()) + 2 * check.GRACE <= seconds
    assert set(check.FIRST) | set(check.SECOND) == set(check.PARTS)


def test_parts_that_break_crash_or_hang_do_not_stop_the_next(start, gone, tmp_path, capsys) -> None:
    begun = tmp_path / "begun"
    parts = {
        "hangs": (HANGS.replace("BEGUN", str(begun)), 2.4), "breaks": (BREAKS, 30), "crashes": (CRASHES, 30),
        "fails": (FAILS, 30), "passes": (PASSES, 30),
    }  # fmt: skip
    code, summary = start(parts, True)
    found = summary["parts"]
    assert code == 1
    assert {name: each["status"] for name, each in found.items()} == {
        "breaks": "failed", "crashes": "failed", "hangs": "failed", "fails": "failed", "passes": "passed",
    }  # fmt: skip
    assert found["breaks"]["detail"] == "RuntimeError: broken"
    assert found["crashes"]["detail"] == "the part's process: ended by SIGSEGV; until then: half of it"
    assert found["crashes"]["kept"] == 1
    assert found["hangs"]["detail"] == "not done after its 2 s; until then: half of it"
    assert found["passes"]["detail"] == "fine on cuda"
    out = capsys.readouterr().out.splitlines()
    assert out[-1] == "failed: hangs, breaks, crashes, fails"
    assert "    a: 1" in out
    assert begun.exists() and gone(str(begun)), "what a part that hung had started went on"


def test_all_well_is_zero_and_no_gpu_is_three(start, capsys) -> None:
    assert start({"only": (PASSES, 30)}, True)[0] == 0
    assert capsys.readouterr().out.splitlines()[-1] == "all well"
    code, summary = start({"only": (PASSES, 30), "skips": (SKIPS, 30)}, False)
    assert code == 3 and summary["gpu"] is False
    assert summary["parts"]["only"]["detail"] == "fine on cpu"
    assert summary["parts"]["skips"] | {"seconds": 0} == {
        "status": "skipped", "detail": "no GPU", "seconds": 0, "planned": 1,
    }  # fmt: skip
    assert capsys.readouterr().out.splitlines()[-1] == "no usable GPU: nothing above ran on one"


def test_a_part_that_no_time_is_left_for_is_not_well(start) -> None:
    code, summary = start({"only": (PASSES, 0.5)}, True)
    assert code == 1 and summary["parts"]["only"]["status"] == "unfinished"
    code, summary = start({"slow": (SLOW, 2.4)}, True)
    assert code == 1 and summary["parts"]["slow"]["detail"] == "what it ran was not done in 2 s"


def test_a_part_has_its_limit_and_what_was_left_before_it(start, lib, monkeypatch) -> None:
    check, limits = lib("gpu_check"), []
    monkeypatch.setattr(check, "run_part", lambda part, gpu, limit, *_: limits.append(limit) or SEEN)
    start({"first": (PASSES, 50), "second": (PASSES, 30)}, True)
    assert 49 < limits[0] <= 50 and 79 < limits[1] <= 80


def test_each_part_reports_when_it_ends(start, capsys) -> None:
    start({"table": (TABLE, 30), "fails": (FAILS, 30)}, True)
    message = capsys.readouterr().out.splitlines()
    begins = [index for index, line in enumerate(message) if line.startswith("===")]
    assert message[begins[0] + 2 : begins[1]] == ["| a |", "| 1 |"]
    assert message[begins[1] + 2 : begins[2]] == ["    a: 1", "    b: 2"]
    assert message[begins[2]] == "=== summary" and message[begins[2] + 1].startswith("table         passed")
    assert "s, planned   1  fine" in message[begins[0] + 1] == message[begins[2] + 1]


def test_what_a_part_has_found_lies_there_while_it_runs(lib, gone, tmp_path, monkeypatch) -> None:
    """So that not even a kill of everything loses it."""
    processes, begun, found = lib("processes"), tmp_path / "begun", tmp_path / "out.part.json"
    (tmp_path / "made_hangs.py").write_text(HANGS.replace("BEGUN", str(begun)))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ['PYTHONPATH']}")
    with processes.started(processes.python("-c", driven(tmp_path))) as process:
        while not begun.exists():
            assert process.poll() is None
            time.sleep(0.02)
        assert json.loads(found.read_text())["detail"] == "half of it"
        process.terminate()
        assert process.wait(10) == 143
    assert gone(str(begun))


def driven(folder: Path) -> str:
    """The driver's process, with one part."""
    return (
        "import sys, gpu_check as check; check.PARTS = {'hangs': check.Part('made_hangs', 1, 30)}; "
        f"sys.argv += ['--json', {str(folder / 'out.json')!r}]; check.without_gpu = lambda timeout: None; "
        "sys.exit(check.main())"
    )


def test_what_is_known_is_written_after_each_part(start, lib, tmp_path, monkeypatch) -> None:
    check = lib("gpu_check")
    real = check.run_part

    def interrupted(part, *arguments):
        if part.module == "made_second":
            raise KeyboardInterrupt
        return real(part, *arguments)

    monkeypatch.setattr(check, "run_part", interrupted)
    with pytest.raises(KeyboardInterrupt):
        start({"first": (PASSES, 30), "second": (PASSES, 30)}, True)
    assert list(json.loads((tmp_path / "out.json").read_text())["parts"]) == ["first"]


def test_only_some_parts(start) -> None:
    _, summary = start({"first": (PASSES, 30), "second": (PASSES, 30)}, True, "--only", "second")
    assert list(summary["parts"]) == ["second"]


def test_what_the_package_lacks_is_said_first(lib, start, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(lib("gpu_check"), "missing", lambda: ["pydantic", "annotated-types"])
    start({"only": (f"def check(task):\n    return {SEEN}\n", 30)}, True)
    message = capsys.readouterr().out
    assert message.index("missing here: pydantic, annotated-types.") < message.index("=== only")
    documentation = lib("gpu_check").__doc__
    assert all(name in documentation for name in ("pydantic", *lib("gpu.packages").BELOW))


@pytest.mark.parametrize("call", ["--first", "--second"])
@pytest.mark.parametrize(("absent", "code"), [(["pydantic"], 1), ([], 3)])
def test_short_calls_end_at_once_where_something_is_missing(
    lib, monkeypatch, capsys, call: str, absent: list[str], code: int
) -> None:
    check = lib("gpu_check")
    monkeypatch.setattr(check, "missing", lambda: absent)
    monkeypatch.setattr(check, "without_gpu", lambda timeout: "no driver")
    monkeypatch.setattr(check, "run_part", None)
    monkeypatch.setattr(check.signal, "signal", lambda *_: None)
    monkeypatch.setattr("sys.argv", ["gpu_check", call])
    assert check.main() == code
    message = capsys.readouterr().out
    assert message.startswith("missing here: pydantic." if absent else "no usable GPU: no driver")


def test_why_there_is_no_gpu(lib, monkeypatch, tmp_path: Path) -> None:
    check = lib("gpu_check")
    status = probe.cuda_status()
    assert check.without_gpu(60) == (None if status.usable else status.reason)
    (tmp_path / "sitecustomize.py").write_text("import os; os.abort()")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert check.without_gpu(60) == "ended by SIGABRT"
