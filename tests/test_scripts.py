"""scripts/run and scripts/test on a small stand-in for a clone, with a Python whose pip and venv only pretend.

The stand-in holds the real scripts and pyproject.toml. Its fake Python runs everything else with the real one, keeps a
list of its pip calls, and fails on request, so a test of a whole first start takes a fraction of a second.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CONFIG = "configs/some.yaml"
OPTIONAL = "onednn-cpu-gomp>=2023.2 ; sys_platform == 'linux' and platform_machine == 'x86_64'"
if sys.platform != "linux" or os.uname().machine != "x86_64":
    OPTIONAL = ""

pytestmark = pytest.mark.skipif(os.name != "posix", reason="bash scripts")

# environment.py makes the environment with sys.executable, which has to be the fake.
AS_IF = """
import runpy, sys
del sys.argv[0]
sys.executable = sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name="__main__")
"""

# A pip that writes down its arguments and fails where FAKE_PIP_FAILS (a regular expression) matches them; a venv module
# that puts this same fake in place; any other use is the real Python's.
FAKE_PYTHON = """#!/usr/bin/env bash
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
case "$*" in
*"print(\\"%d.%d\\""*) echo "${FAKE_VERSION:-REAL_VERSION}" ;;
*"import ensurepip, venv"*) [[ -z ${FAKE_WITHOUT_VENV:-} ]] ;;
"-m venv "*)
    [[ -z ${FAKE_VENV_FAILS:-} ]] || { echo "Error: no space for a venv" >&2; exit 1; }
    mkdir -p "$3/bin"; cp "$here/$(basename "$0")" "$3/bin/python"; echo venv >> "$FAKE_LOG"
    [[ -z ${FAKE_VENV_SLEEP:-} ]] || sleep "$FAKE_VENV_SLEEP" ;;
"-m pip install "*)
    [[ -z ${FAKE_PIP_SLEEP:-} ]] || sleep "$FAKE_PIP_SLEEP"
    shift 6; echo "pip $*" >> "$FAKE_LOG"
    if [[ -n ${FAKE_PIP_FAILS:-} && "$*" =~ $FAKE_PIP_FAILS ]]; then
        echo "Collecting things"; echo "ERROR: ${FAKE_PIP_MESSAGE:-No matching distribution found}"; exit 1
    fi ;;
*environment.py*) exec REAL_PYTHON -c "$AS_IF" "$here/$(basename "$0")" "$@" ;;
*"-m dlcourse "* | "-m pytest"*) printf '%s\\n' "$PWD" "$@" ;;
*) exec REAL_PYTHON "$@" ;;
esac
"""


@dataclass
class Clone:
    """A stand-in for a clone and the folder of the caller, with the log of the fake Python's calls."""

    root: Path
    caller: Path
    bin: Path
    log: Path

    def start(self, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.root / "scripts" / script), *arguments],
            cwd=self.caller,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            timeout=60,
        )

    def environment(self, **more: str) -> dict[str, str]:
        path = {"PATH": f"{self.bin}:/usr/bin:/bin", "HOME": str(self.caller), "PYTHON": str(self.bin / "python3")}
        return path | {"FAKE_LOG": str(self.log), "AS_IF": AS_IF} | more

    def calls(self) -> list[str]:
        """What the fake Python was asked to make and install, since the last time this was asked."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return lines

    def add_driver(self, version: str) -> None:
        """Let nvidia-smi say that the driver runs this CUDA version."""
        smi = self.bin / "nvidia-smi"
        smi.write_text(f"#!/bin/sh\necho '| NVIDIA-SMI 580.1  Driver Version: 580.1  CUDA Version: {version} |'\n")
        smi.chmod(0o755)

    @property
    def stamp(self) -> dict:
        return json.loads((self.root / ".venv" / "dlcourse.json").read_text())


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    root = tmp_path / "a clone"  # with a space on purpose
    shutil.copytree(ROOT / "scripts", root / "scripts")
    shutil.copy(ROOT / "pyproject.toml", root)
    # No driver here, whatever machine this is; a test that wants one puts an nvidia-smi into the path.
    driver = Path("dlcourse", "backend", "diagnostics", "driver.py")
    (root / driver).parent.mkdir(parents=True)
    (root / driver).write_text((ROOT / driver).read_text().replace("libcuda", "no-such-library"))
    (root / CONFIG).parent.mkdir()
    (root / CONFIG).touch()
    caller = tmp_path / "elsewhere"
    caller.mkdir()
    folder = tmp_path / "bin"
    folder.mkdir()
    text = FAKE_PYTHON.replace("REAL_PYTHON", f"'{sys.executable}'")
    (folder / "python3").write_text(text.replace("REAL_VERSION", "{}.{}".format(*sys.version_info)))
    (folder / "python3").chmod(0o755)
    return Clone(root, caller, folder, tmp_path / "calls.txt")


def test_first_start_installs_and_runs_with_the_arguments_as_given(clone: Clone) -> None:
    done = clone.start("run", CONFIG, "model.degree=3", "--out", "my runs", "data.path=a b=c")
    assert done.returncode == 0, done.stderr
    arguments = [f"{clone.root}/{CONFIG}", "model.degree=3", "--out", "my runs", "data.path=a b=c"]
    assert done.stdout.splitlines() == [str(clone.caller), "-P", "-m", "dlcourse", "run", *arguments]
    calls = clone.calls()
    assert calls[:2] == ["venv", f"pip --editable {clone.root}"]
    assert clone.stamp["complete"]


def test_second_start_installs_nothing_and_is_silent(clone: Clone) -> None:
    clone.start("run", CONFIG)
    clone.calls()
    done = clone.start("run", CONFIG)
    assert done.returncode == 0
    assert (clone.calls(), done.stderr) == ([], "")


def test_a_changed_pyproject_installs_again_into_the_same_environment(clone: Clone) -> None:
    clone.start("run", CONFIG)
    clone.calls()
    with (clone.root / "pyproject.toml").open("a") as file:
        file.write("\n# changed\n")
    clone.start("run", CONFIG)
    calls = clone.calls()
    assert "venv" not in calls and f"pip --editable {clone.root}" in calls
    clone.start("run", CONFIG)
    assert clone.calls() == []


def test_scripts_test_adds_what_tests_need_once_and_run_keeps_it(clone: Clone) -> None:
    clone.start("run", CONFIG)
    clone.calls()
    done = clone.start("test", "-k", "name", "tests/a.py::test_b")
    assert done.stdout.splitlines() == [str(clone.root), "-m", "pytest", "-k", "name", "tests/a.py::test_b"]
    assert clone.calls() == [f"pip --editable {clone.root}[dev]"] + (["pip " + OPTIONAL] if OPTIONAL else [])
    clone.start("run", CONFIG)
    whole = clone.start("test")
    assert whole.stdout.splitlines() == [str(clone.root), "-m", "pytest", "-n", "2", "--dist", "worksteal"]
    assert clone.calls() == []


def test_heavy_extras_come_by_the_environment(clone: Clone) -> None:
    clone.start("test", DLCOURSE_EXTRAS="ci digits")
    assert f"pip --editable {clone.root}[ci,dev,digits]" in clone.calls()
    done = clone.start("test", DLCOURSE_EXTRAS="digit")
    assert done.returncode == 1
    assert "no extra digit; there are ci, cpu, cuda12" in done.stderr


def test_the_callers_files_come_before_the_repositorys(clone: Clone) -> None:
    (clone.caller / CONFIG).parent.mkdir()
    (clone.caller / CONFIG).touch()
    assert CONFIG in clone.start("run", CONFIG).stdout.splitlines()
    (clone.caller / "test_mine.py").touch()
    done = clone.start("test", "test_mine.py::test_a")
    assert f"{clone.caller}/test_mine.py::test_a" in done.stdout.splitlines()


def test_scripts_are_found_through_a_link(clone: Clone) -> None:
    link = clone.caller / "dl"
    link.symlink_to(clone.root / "scripts" / "run")
    done = subprocess.run([link, CONFIG], cwd=clone.caller, env=clone.environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_usage_without_a_config_installs_nothing(clone: Clone) -> None:
    done = clone.start("run")
    assert done.returncode == 2 and "usage: scripts/run" in done.stderr
    assert clone.start("run", "--help").returncode == 0
    assert clone.calls() == []


def test_too_old_a_python_is_named_with_what_is_needed(clone: Clone) -> None:
    done = clone.start("run", CONFIG, FAKE_VERSION="3.9")
    assert done.returncode == 1 and done.stdout == ""
    assert "Python 3.11 to 3.14 is needed, but" in done.stderr and "python3 is 3.9" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_too_new_a_python_is_refused_as_well(clone: Clone) -> None:
    assert "is 3.15" in clone.start("run", CONFIG, FAKE_VERSION="3.15").stderr


def test_a_python_without_venv_says_which_package_brings_it(clone: Clone) -> None:
    done = clone.start("run", CONFIG, FAKE_WITHOUT_VENV="1", FAKE_VERSION="3.12")
    assert done.returncode == 1
    assert "sudo apt install python3.12-venv" in done.stderr


def test_a_python_that_is_not_there_is_said(clone: Clone) -> None:
    assert "PYTHON=/no/python cannot be run" in clone.start("run", CONFIG, PYTHON="/no/python").stderr


def test_the_first_usable_python_of_the_path_is_taken(clone: Clone) -> None:
    usable = clone.bin / "python3.12"
    usable.write_text((clone.bin / "python3").read_text().replace("FAKE_VERSION", "OTHER_VERSION"))
    usable.chmod(0o755)
    done = clone.start("run", CONFIG, FAKE_VERSION="3.8", PYTHON="")
    assert done.returncode == 0, done.stderr


def test_a_failing_venv_is_one_line(clone: Clone) -> None:
    done = clone.start("run", CONFIG, FAKE_VENV_FAILS="1")
    assert done.returncode == 1
    assert "no space for a venv" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("message", "messages"),
    [
        ("No matching distribution found for numpy>=2.0", "No matching distribution found for numpy>=2.0"),
        ("NewConnectionError(x): [Errno -3] Temporary failure in name resolution", "is this machine online?"),
    ],
)
def test_a_failing_install_says_why_names_the_log_and_is_done_again(clone: Clone, message: str, messages: str) -> None:
    done = clone.start("run", CONFIG, FAKE_PIP_FAILS="--editable", FAKE_PIP_MESSAGE=message)
    assert done.returncode == 1 and done.stdout == ""
    assert f"the installation failed: {messages}" in done.stderr.replace("the package index cannot be reached; ", "")
    log = clone.root / ".venv" / "install.log"
    assert str(log) in done.stderr and message in log.read_text()
    clone.calls()
    assert clone.start("run", CONFIG).returncode == 0
    assert clone.calls()[:2] == ["venv", f"pip --editable {clone.root}"]


@pytest.mark.skipif(not OPTIONAL, reason="no optional part on this platform")
def test_a_failing_optional_part_is_said_once_and_does_not_stop(clone: Clone) -> None:
    done = clone.start("run", CONFIG, FAKE_PIP_FAILS="onednn")
    assert done.returncode == 0
    assert "goes on without the optional part 'cpu' (failed: No matching distribution found)" in done.stderr
    clone.calls()
    done = clone.start("run", CONFIG, FAKE_PIP_FAILS="onednn")
    assert (clone.calls(), done.stderr) == ([], "")
    clone.start("run", "--reinstall", CONFIG)
    assert "pip " + OPTIONAL in clone.calls()
    assert clone.stamp["optional"] == {"cpu": "installed"}


@pytest.mark.parametrize(
    ("version", "package"), [("12.4", "cupy-cuda12x"), ("13.0", "cupy-cuda13x"), ("14.1", "cupy-cuda13x")]
)
def test_cupy_that_fits_the_driver_is_installed(clone: Clone, version: str, package: str) -> None:
    clone.add_driver(version)
    clone.start("run", CONFIG)
    assert f"pip {package}[ctk]>=14,<15 ml_dtypes>=0.4" in clone.calls()
    clone.start("run", CONFIG)
    assert clone.calls() == []


def test_a_driver_too_old_for_cupy_installs_none(clone: Clone) -> None:
    clone.add_driver("11.8")
    clone.start("run", CONFIG)
    assert not any("pip cupy" in call for call in clone.calls())


def test_a_driver_that_comes_later_brings_cupy_then(clone: Clone) -> None:
    clone.start("run", CONFIG)
    clone.calls()
    clone.add_driver("12.8")
    clone.start("run", CONFIG)
    assert clone.calls() == ["pip cupy-cuda12x[ctk]>=14,<15 ml_dtypes>=0.4"]


def test_a_cupy_that_is_in_already_stays_the_only_one(clone: Clone) -> None:
    clone.start("test", DLCOURSE_EXTRAS="ci")
    clone.calls()
    (clone.root / ".venv/lib/python3.11/site-packages/cupy_cuda12x-14.2.0.dist-info").mkdir(parents=True)
    clone.add_driver("13.0")
    clone.start("test", DLCOURSE_EXTRAS="ci")
    assert clone.calls() == ["pip cupy-cuda12x[ctk]>=14,<15 ml_dtypes>=0.4"]


@pytest.mark.parametrize("stage", ["FAKE_VENV_SLEEP", "FAKE_PIP_SLEEP"])
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_set_up_starts_over(clone: Clone, stage: str, stop: signal.Signals) -> None:
    process = subprocess.Popen(
        [str(clone.root / "scripts" / "run"), CONFIG],
        cwd=clone.caller,
        env=clone.environment(**{stage: "30"}),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    signs = {"FAKE_VENV_SLEEP": ".venv/bin/python", "FAKE_PIP_SLEEP": ".venv/install.log"}
    until((clone.root / signs[stage]).exists)
    time.sleep(0.1)
    os.killpg(process.pid, stop)
    _, messages = process.communicate(timeout=20)
    assert process.returncode != 0
    if stop == signal.SIGINT:
        assert "interrupted; the next start goes on" in messages and "Traceback" not in messages
    clone.calls()
    assert clone.start("run", CONFIG).returncode == 0
    assert clone.calls()[:2] == ["venv", f"pip --editable {clone.root}"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_pip_that_outlives_its_start_is_waited_for(clone: Clone) -> None:
    process = subprocess.Popen(
        [str(clone.root / "scripts" / "run"), CONFIG],
        cwd=clone.caller,
        env=clone.environment(FAKE_PIP_SLEEP="1"),
        stderr=subprocess.DEVNULL,
    )
    until((clone.root / ".venv/install.log").exists)
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(child), signal.SIGKILL)
    process.wait(timeout=20)
    done = clone.start("run", CONFIG)
    assert done.returncode == 0 and "waiting for it" in done.stderr


def until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        time.sleep(0.02)
    pytest.fail("what was waited for did not come within 10 s")


def test_starts_at_the_same_time_install_once(clone: Clone) -> None:
    command = [str(clone.root / "scripts" / "run"), CONFIG]
    environment = clone.environment(FAKE_PIP_SLEEP="0.3")
    processes = [
        subprocess.Popen(command, cwd=clone.caller, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    outputs = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    calls = clone.calls()
    assert calls.count("venv") == 1 and calls.count(f"pip --editable {clone.root}") == 1


def test_a_moved_clone_makes_its_environment_anew(clone: Clone) -> None:
    clone.start("run", CONFIG)
    clone.calls()
    clone.root = clone.root.rename(clone.root.with_name("moved"))
    clone.start("run", CONFIG)
    assert clone.calls()[:2] == ["venv", f"pip --editable {clone.root}"]


def test_an_environment_of_the_users_own_is_used_and_never_emptied(clone: Clone) -> None:
    (clone.root / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(clone.bin / "python3", clone.root / ".venv" / "bin" / "python")
    (clone.root / ".venv" / "precious").touch()
    assert clone.start("run", CONFIG, FAKE_PIP_FAILS="--editable").returncode == 1
    assert clone.start("run", CONFIG).returncode == 0
    assert (clone.root / ".venv" / "precious").exists()
    assert "venv" not in clone.calls()


def test_a_read_only_clone_is_one_clear_line(clone: Clone) -> None:
    if os.geteuid() == 0:
        (clone.root / ".venv").write_text("a file, so that nothing can be made here, by root either")
    else:
        clone.root.chmod(0o555)
    done = clone.start("run", CONFIG)
    clone.root.chmod(0o755)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr and ".venv" in done.stderr
