"""``environment.json``: versions, device and git state of a run."""

import functools
import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import dlcourse
from dlcourse import plugins
from dlcourse.backend import determinism
from dlcourse.errors import DamagedFileError
from dlcourse.records.run import Plugin
from dlcourse.training.folder import RunFolder

_PACKAGES = (
    "numpy",
    "cupy-cuda12x",
    "cupy-cuda13x",
    "ml_dtypes",
    "safetensors",
    "pyyaml",
    "matplotlib",
    "threadpoolctl",
)
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def describe(device: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What a new run says of where it runs, and the files that it keeps.

    Returns:
        Versions, machine, device, ``--deterministic``, git state, command line and component files, for
        ``environment.json``; and the user's own component files as they were imported, by their path in the folder.
    """
    plugins = _plugins()
    environment = {
        "dlcourse": dlcourse.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cpu_count": os.cpu_count(),
        "threads": {name: os.environ[name] for name in _THREADS if name in os.environ},
        "packages": _versions(),
        "device": device,
        "deterministic": determinism.demanded(),
        "git": _git(),
        "command": list(sys.argv),
        "folder": _current_folder(),
        "plugins": [record for record, _ in plugins],
    }
    return environment, {record["copy"]: content for record, content in plugins}


def source_hash(content: bytes) -> str:
    """The sha256 of a file's content, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _plugins() -> list[tuple[Plugin, bytes]]:
    found: dict[str, tuple[Plugin, bytes]] = {}
    for path, content in plugins.sources().items():
        name, count = path.name, 1
        while f"plugins/{name}" in found:
            count += 1
            name = f"{path.stem}-{count}{path.suffix}"
        record: Plugin = {"path": str(path), "sha256": source_hash(content), "copy": f"plugins/{name}"}
        found[record["copy"]] = record, content
    return list(found.values())


def started_in(folder: RunFolder) -> str | None:
    """Where a run's relative paths start; None where that is not known."""
    try:
        return folder.read_environment().get("folder")
    except DamagedFileError:
        return None


def began_deterministic(folder: RunFolder) -> bool:
    """Whether a run was started with ``--deterministic``, as far as that is known."""
    try:
        return bool(folder.read_environment().get("deterministic"))
    except DamagedFileError:
        return False


def _current_folder() -> str | None:
    """Where relative paths start; None where the folder was deleted."""
    try:
        return os.getcwd()
    except OSError:
        return None


@functools.cache
def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


@functools.cache
def _git() -> dict[str, Any] | None:
    """Commit of the clone that the program runs from, and whether it was changed since; None outside a clone."""
    root = Path(dlcourse.__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    commit = _ask_git(root, "rev-parse", "HEAD")
    changes = _ask_git(root, "status", "--porcelain", "--untracked-files=no")
    return None if commit is None else {"commit": commit, "dirty": bool(changes)}


def _ask_git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
