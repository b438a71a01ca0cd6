"""What there is to work with: this machine, a place for files to keep, and the files that come with the program."""

import os
import platform
import re
import sys
from pathlib import Path

CACHE = "DLCOURSE_CACHE"
"""Environment variable: names the folder of :func:`cache_folder`."""


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """The processor's model, as the system names it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            named = next((line for line in lines if line.startswith("model name")), "")
    except OSError:
        named = ""
    return named.partition(":")[2].strip() or platform.processor() or platform.machine()


def cache_folder() -> Path:
    """Where downloads, decoded arrays and measurements lie: ``DLCOURSE_CACHE``, or ``dlcourse`` in the platform's cache
    folder.

    Raises:
        RuntimeError: neither is known, as this user has no home folder.
    """
    named = os.environ.get(CACHE)
    if sys.platform == "darwin":
        default = "~/Library/Caches"
    else:
        default = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return (Path(named) if named else Path(default) / "dlcourse").expanduser().absolute()


def configs_folder() -> Path:
    """The folder of the course's configs, in a clone and in an installed wheel alike.

    A wheel carries it inside the package (``dlcourse/configs``); in a clone, used directly or through an editable
    install, it stands beside the package, where it is edited.
    """
    package = Path(__file__).resolve().parent
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


ASSIGNMENTS = "assignments"
"""The folder of the assignments among the configs."""


def named(name: str) -> list[Path]:
    """The shipped configs that a name may mean, ``mnist_softmax`` or ``03_classification/mnist_softmax`` (as its run is
    called, ``mnist-softmax``, too), relative to their folder."""
    wanted = name.removesuffix(".yaml").removeprefix("configs/").replace("-", "_")
    return [path for path in shipped() if wanted in (path.stem, path.with_suffix("").as_posix())]


def shipped() -> list[Path]:
    """The configs that come with the program, relative to their folder; assignments are none."""
    folder = configs_folder()
    found = sorted(path.relative_to(folder) for path in folder.rglob("*.yaml"))
    return [path for path in found if path.parts[0] != ASSIGNMENTS]


def shipped_assignments() -> dict[str, Path]:
    """The assignments that come with the program, by name."""
    return {path.parent.name: path for path in sorted(configs_folder().glob(f"{ASSIGNMENTS}/*/assignment.yaml"))}


def is_assignment(path: str | os.PathLike) -> bool:
    """Whether a YAML file is an assignment, and no experiment."""
    try:
        with open(path, "rb") as file:
            return re.search(rb"^assignment:", file.read(1 << 20), re.MULTILINE) is not None
    except (OSError, ValueError):
        return False
