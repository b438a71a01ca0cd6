"""Makes and fills the project's ``.venv``: what scripts/run, scripts/test and scripts/gpu_check do first.

    python environment.py --check [--extras dev,ci]          exit 0: nothing to do
    python environment.py [--extras dev,ci] [--reinstall]    exit 0: .venv is ready, 1: it is not; prints why

Standard library only. The stamp ``.venv/dlcourse.json`` is written last, so an interrupted installation is seen and
done again from the start; it holds a hash of pyproject.toml, the extras that are in, and how each optional one went.
"""

import argparse
import contextlib
import hashlib
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = ROOT / "pyproject.toml"
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "dlcourse.json"
LOG = VENV / "install.log"

# What pip prints when it cannot reach the index; "from versions: none" is all it says once it has given up retrying.
OFFLINE = (
    "ConnectionError",
    "ConnectTimeout",
    "name resolution",
    "ProxyError",
    "Read timed out",
    "from versions: none",
)


class SetupError(Exception):
    """Something that stops the set-up; the message is all that the user sees."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Make and fill the project's .venv.")
    parser.add_argument("--extras", default="", help="extras of pyproject.toml, by commas")
    parser.add_argument("--check", action="store_true", help="only say by the exit code whether nothing is to do")
    parser.add_argument("--reinstall", action="store_true", help="install again, what failed before too")
    args = parser.parse_args()
    extras = {extra for extra in re.split(r"[,\s]+", args.extras) if extra}
    if args.check:
        stamp = read_stamp()
        return 0 if has_package(stamp, extras) and set(wanted_optional()) <= set(stamp["optional"]) else 1
    try:
        with only_one():
            prepare(extras, args.reinstall)
    except SetupError as error:
        say(str(error))
        return 1
    except OSError as error:
        say(f"cannot make {VENV}: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted; the next start goes on")
        return 130
    return 0


def prepare(extras: set[str], reinstall: bool) -> None:
    """Bring ``.venv`` to what is asked; another start may have done so while this one waited for the lock."""
    known = project()["optional-dependencies"]
    if extras - set(known):
        raise SetupError(f"no extra {', '.join(sorted(extras - set(known)))}; there are {', '.join(sorted(known))}")
    stamp = read_stamp()
    if reinstall or not has_package(stamp, extras):
        stamp = install(stamp, extras)
    install_optional(stamp)


def has_package(stamp: dict, extras: set[str]) -> bool:
    """Whether the package with these extras is in, for this pyproject.toml, at this place, by the Python asked for."""
    return (
        bool(stamp.get("complete"))
        and serves(stamp)
        and stamp.get("pyproject") == fingerprint()
        and extras <= set(stamp["extras"])
    )


def serves(stamp: dict) -> bool:
    """Whether ``.venv`` itself can stay: made here, and by the Python that PYTHON names, if it names one."""
    asked = python_version() if os.environ.get("PYTHON") else stamp.get("python")
    return stamp.get("root") == str(ROOT) and stamp.get("python") == asked


def install(stamp: dict, extras: set[str]) -> dict:
    """The package itself, editable, and what it needs. Returns the new stamp."""
    started = time.monotonic()
    stamp = make_venv(stamp)
    extras = extras | set(stamp["extras"])
    stamp |= {"complete": False, "extras": sorted(extras), "pyproject": fingerprint(), "optional": {}}
    write_stamp(stamp)
    LOG.write_text("")
    target = str(ROOT) + (f"[{','.join(sorted(extras))}]" if extras else "")
    code = pip_install(["--editable", target], "installing into .venv")
    if code:
        raise SetupError(f"the installation failed: {cause()}\ndlcourse: pip's whole output is in {LOG}")
    write_stamp(stamp | {"complete": True})
    say(f"installed in {time.monotonic() - started:.0f} s; the other commands: {PYTHON.parent / 'dlcourse'} --help")
    return stamp | {"complete": True}


def make_venv(stamp: dict) -> dict:
    """Find or make an environment that serves, and return its stamp. One made by other means is used, never emptied."""
    if stamp.get("ours") and stamp.get("complete") and serves(stamp) and runs(PYTHON):
        return stamp
    new = {"ours": True, "root": str(ROOT), "python": python_version(), "extras": []}
    if VENV.exists() and not stamp.get("ours"):
        if not runs(PYTHON):
            raise SetupError(f"{VENV} is there, but its bin/python does not run: remove it and start again")
        return new | {"ours": False}
    say(f"making {VENV} with Python {platform.python_version()}")
    if VENV.exists():
        shutil.rmtree(VENV)
    VENV.mkdir()
    write_stamp(new)  # from its first moment on it is known to be ours, and unfinished
    done = subprocess.run([sys.executable, "-m", "venv", str(VENV)], capture_output=True, text=True)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no reason given"]
        raise SetupError(f"{sys.executable} -m venv {VENV} failed: {lines[-1]}")
    return new


def install_optional(stamp: dict) -> None:
    """What makes it faster and is not needed: a failure is one line, kept in the stamp and not tried again."""
    requirements = project()["optional-dependencies"]
    for extra in wanted_optional():
        if extra in stamp["optional"]:
            continue
        try:
            code = pip_install(requirements[extra], f"installing the optional part '{extra}'")
            outcome = f"failed: {cause()}" if code else "installed"
        except KeyboardInterrupt:
            write_stamp(stamp | {"optional": stamp["optional"] | {extra: "failed: interrupted"}})
            raise
        stamp = stamp | {"optional": stamp["optional"] | {extra: outcome}}
        if code:
            say(f"goes on without the optional part '{extra}' ({outcome}); scripts/run --reinstall tries again")
    write_stamp(stamp)


def wanted_optional() -> list[str]:
    """The optional extras that fit this machine: oneDNN on x86-64 Linux, CuPy for the CUDA version of the driver."""
    wanted = ["cpu"] if sys.platform == "linux" and platform.machine() == "x86_64" else []
    driver = load_driver()
    version = driver.cuda_version() or driver.cuda_version_by_smi()
    if version is None or version[0] < 12:
        return wanted
    # CuPy for CUDA 12 serves under newer drivers too: where the `ci` extra has brought it, it stays the only one.
    has_cuda12 = any(VENV.glob("lib/python*/site-packages/cupy_cuda12x-*.dist-info"))
    return [*wanted, "cuda12" if version[0] == 12 or has_cuda12 else "cuda13"]


def pip_install(requirements: list[str], message: str) -> int:
    """``pip install`` with its output in the log and one line on the terminal; returns pip's exit code."""
    options = ["--disable-pip-version-check", "--no-input", "--progress-bar=off"]
    command = [str(PYTHON), "-m", "pip", "install", *options, *requirements]
    terminal = sys.stderr.isatty()
    started = time.monotonic()
    if not terminal:
        say(f"{message} ...")
    with LOG.open("a") as log:
        log.write(f"$ {' '.join(command)}\n")
        log.flush()
        # pip inherits the lock (close_fds), so that it stays locked while pip lives on after this process was killed.
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=ROOT, close_fds=False
        )
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    code = process.wait(0.3)
                    break
                if terminal:
                    show_progress(f"dlcourse: {message} ... {time.monotonic() - started:.0f} s  {last_line()}")
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            raise
    if terminal:
        show_progress("")
    return code


def cause() -> str:
    """Why pip failed, in one line, from the log's last command."""
    text = LOG.read_text(errors="replace").rpartition("\n$ ")[2]
    if any(sign in text for sign in OFFLINE):
        return "the package index cannot be reached; is this machine online?"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # What Python raised in a build says more than pip's own "error: metadata-generation-failed" below it.
    for pattern in (r"(\w+Error: .+)", r"ERROR: (.+)", r"error: (.+)", r"(.+)"):
        found = [match[1] for match in map(re.compile(pattern).match, lines) if match]
        if found:
            return found[-1]
    return "pip printed nothing"


def last_line() -> str:
    lines = LOG.read_text(errors="replace").splitlines()
    return " ".join(lines[-1].split()) if lines else ""


def show_progress(line: str) -> None:
    width = shutil.get_terminal_size().columns - 1
    print(f"\r{line[:width]:<{width}}\r", end="", file=sys.stderr, flush=True)


@contextlib.contextmanager
def only_one() -> Iterator[None]:
    """One set-up at a time. The lock is on pyproject.toml itself, so there is no file of its own to leave behind."""
    try:
        import fcntl
    except ImportError:
        raise SetupError(
            "on Windows without WSL, install by hand: py -m venv .venv, then .venv\\Scripts\\python -m pip install -e ."
        ) from None
    with PYPROJECT.open("rb+") as file:
        os.set_inheritable(file.fileno(), True)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another start is installing; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def project() -> dict:
    return tomllib.loads(PYPROJECT.read_text())["project"]


def fingerprint() -> str:
    return hashlib.sha256(PYPROJECT.read_bytes()).hexdigest()


def read_stamp() -> dict:
    """The stamp; an empty one where there is none, or one that no version of this file has written."""
    try:
        stamp = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def write_stamp(stamp: dict) -> None:
    """Whole or not at all."""
    temporary = STAMP.with_suffix(".tmp")
    temporary.write_text(json.dumps(stamp, indent=2))
    os.replace(temporary, STAMP)


def python_version() -> str:
    return "{}.{}".format(*sys.version_info)


def runs(python: Path) -> bool:
    return python.exists() and subprocess.run([python, "-c", ""], capture_output=True).returncode == 0


def load_driver() -> ModuleType:
    """``backend/diagnostics/driver.py`` by its path: it needs nothing, and the package is not installed yet."""
    spec = importlib.util.spec_from_file_location("driver", ROOT / "dlcourse" / "backend" / "diagnostics" / "driver.py")
    module = sys.modules["driver"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def say(message: str) -> None:
    print(f"dlcourse: {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
