"""Versions of what the package needs; what is missing will make tests fail for no fault of the GPU."""

import importlib.metadata
import platform
import re
import tomllib

from gpu.part import ROOT, Outcome, Task

BESIDE = ("pytest", "hypothesis", "cupy-cuda12x", "cupy-cuda13x", "torch", "nvidia-cudnn-cu12", "nvidia-cublas-cu12")


def check(task: Task) -> Outcome:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [re.match(r"[\w.-]+", requirement)[0] for requirement in project["dependencies"]]
    versions = {name: version(name) for name in [*needed, *BESIDE]}
    print("  ".join(f"{name} {found}" for name, found in versions.items() if found))
    missing = [name for name in needed if versions[name] is None]
    detail = f"Python {platform.python_version()}, {'some missing' if missing else 'all there'}"
    failures = [f"{name} is not installed" for name in missing]
    return {
        "status": "failed" if missing else "passed", "detail": detail, "failures": failures, "versions": versions,
    }  # fmt: skip


def version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
