"""Versions of what the package needs; what is missing makes tests fail for no fault of the GPU."""

import importlib.metadata
import platform
import re
import tomllib

from gpu.part import ROOT, Outcome, Task

BELOW = ("pydantic_core", "annotated-types", "typing_extensions", "typing-inspection")
"""What pydantic needs: wheels that are taken along have to be named one by one."""
BESIDE = ("pytest", "hypothesis", "cupy-cuda12x", "cupy-cuda13x", "torch", "nvidia-cudnn-cu12", "nvidia-cublas-cu12")


def needed() -> list[str]:
    """The package's requirements, and what they need in turn where it is not of the standard library."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [re.match(r"[\w.-]+", requirement)[0] for requirement in project["dependencies"]]
    return list(dict.fromkeys([*names, *BELOW]))


def missing() -> list[str]:
    return [name for name in needed() if version(name) is None]


def check(task: Task) -> Outcome:
    versions = {name: version(name) for name in [*needed(), *BESIDE]}
    print("  ".join(f"{name} {found}" for name, found in versions.items() if found))
    absent = missing()
    detail = f"Python {platform.python_version()}, {'some missing' if absent else 'all there'}"
    failures = [f"{name} is not installed" for name in absent]
    return {
        "status": "failed" if absent else "passed", "detail": detail, "failures": failures, "versions": versions,
    }  # fmt: skip


def version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
