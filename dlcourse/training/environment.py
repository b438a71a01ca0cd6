"""What a run ran on: ``environment.json``."""

import functools
import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlcourse
from dlcourse.backend import determinism
from dlcourse.errors import DamagedFileError, UserError
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


def describe(device: str) -> dict[str, Any]:
    """Versions, machine, device, ``--deterministic``, git state, command line, the user's own component files."""
    return {
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
        "plugins": [{"path": str(path), "sha256": file_hash(path)} for path in loaded_plugins()],
    }


def require_plugins(folder: RunFolder, say: Callable[[str], None]) -> None:
    """Check that the component files a run was made with are loaded.

    They are not loaded by themselves: a run folder that came from somewhere else should not run code. Where
    ``environment.json`` is damaged, that is said: a component that is not there is found anyway.

    Raises:
        UserError: one is missing; says how to name it.
    """
    try:
        environment = folder.read_environment()
    except DamagedFileError as error:
        say(f"{error}; so it does not say which component files the run was made with")
        return
    loaded = {file_hash(path) for path in loaded_plugins()}
    for plugin in environment.get("plugins", ()):
        if plugin["sha256"] not in loaded:
            raise UserError(
                f"{folder.path}: was made with the component file {plugin['path']}, which is not loaded or was changed "
                f"since (its sha256 was {plugin['sha256']}); name it again: --plugin {plugin['path']}"
            )


def loaded_plugins() -> list[Path]:
    """The user's own component files, in the order in which they were loaded."""
    modules = [module for name, module in list(sys.modules.items()) if name.startswith("dlcourse_plugin_")]
    return [Path(module.__file__) for module in modules]


def file_hash(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def started_in(folder: RunFolder) -> str | None:
    """Where a run's relative paths start; None where that is not known."""
    try:
        return folder.read_environment().get("folder")
    except DamagedFileError:
        return None


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
