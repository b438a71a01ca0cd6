"""Quick checks of this machine, each made once: whether a GPU is usable, and which packages are installed.

``cuda_status`` is quick (no process started, no kernel compiled) and never raises: CuPy without a GPU, a GPU without
CuPy and a driver too old for the CuPy that is installed are ordinary answers, each with its reason and the command that
fixes it. The thorough check, which compiles and runs, is ``dlcourse.backend.diagnostics.inspection``.
"""

import functools
import importlib.metadata
import importlib.util
import os
import shlex
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

from dlcourse.backend.diagnostics import driver

# The CuPy packages by the CUDA version they are built for: an extra of pyproject.toml each.
CUPY_PACKAGES = {12: "cupy-cuda12x", 13: "cupy-cuda13x"}


@dataclass(frozen=True)
class CudaStatus:
    """Whether CUDA devices can be used: how many and which, or the reason why not and the command that fixes it."""

    usable: bool
    count: int = 0
    reason: str = ""
    remedy: str = ""
    gpus: tuple[driver.Gpu, ...] = ()


@functools.cache
def cuda_status() -> CudaStatus:
    """Whether CuPy can use a GPU here, asked once a process; never raises.

    Asks in this order: is CuPy installed, is there a driver, does it fit the CuPy, has it devices, does CuPy import and
    count them too.
    """
    version = driver.cuda_version()
    packages = cupy_packages()
    if not has_cupy():
        if version is None:
            remedy = f"install NVIDIA's driver, if this machine has an NVIDIA GPU; then {install_command('cuda13')}"
            return CudaStatus(False, reason="no NVIDIA driver found, CuPy is not installed", remedy=remedy)
        return _without_fitting_cupy(version, "CuPy is not installed")
    if version is None:
        remedy = "install NVIDIA's driver, if this machine has an NVIDIA GPU"
        return CudaStatus(False, reason="CuPy is installed, but there is no NVIDIA driver", remedy=remedy)
    if len(packages) > 1:
        names = " and ".join(CUPY_PACKAGES[major] for major in packages)
        return _without_fitting_cupy(version, f"{names} are both installed and spoil each other", packages)
    if packages and packages[0] > version[0]:
        reason = f"{CUPY_PACKAGES[packages[0]]} is installed, but the driver runs CUDA {dotted(version)} at most"
        return _without_fitting_cupy(version, reason, packages)
    return _counted_by_cupy()


def has_cupy() -> bool:
    """Whether a CuPy of any kind is installed; does not import it, which takes a second."""
    return importlib.util.find_spec("cupy") is not None


def cupy_packages() -> list[int]:
    """The CUDA versions whose CuPy wheel is installed; none for a CuPy built from source or by conda."""
    return [major for major, package in CUPY_PACKAGES.items() if package_version(package) is not None]


def package_version(package: str) -> str | None:
    """The installed version of a package, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def dotted(version: tuple[int, int]) -> str:
    return "{}.{}".format(*version)


def install_command(extra: str) -> str:
    """The exact command that installs one of this package's extras into the Python that is running.

    Used straight from a clone, without having been installed, the package is named by its folder.
    """
    if package_version("dlcourse"):
        return f"{_python()} -m pip install 'dlcourse[{extra}]'"
    clone = Path(__file__).resolve().parents[3]
    return f"{_python()} -m pip install -e '{clone}[{extra}]'"


def libraries_command() -> str:
    """The exact command that brings what the installed CuPy wheel leaves out: NVRTC, cuBLAS and the CUDA headers, of
    the CUDA version that it is built for. A CuPy that is from no wheel wants a toolkit.
    """
    majors = cupy_packages()
    if not majors:
        return "install the CUDA toolkit that this CuPy was built for, and set CUDA_PATH to its folder"
    return f"{_python()} -m pip install '{CUPY_PACKAGES[majors[0]]}[ctk]'"


def nccl_command() -> str:
    """The exact command that installs NCCL, for the CUDA version that the installed CuPy wheel is built for."""
    return f"{_python()} -m pip install nvidia-nccl-cu{(cupy_packages() or [12])[0]}"


def _counted_by_cupy() -> CudaStatus:
    """Asks the driver first, which answers with codes, and only then imports CuPy."""
    found = driver.inspect()
    if found is None or not found.gpus:
        reason = found.reason if found and found.reason else "the driver finds no GPU"
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        if visible is not None:
            reason += f"; CUDA_VISIBLE_DEVICES={shlex.quote(visible)} hides the others"
        return CudaStatus(False, reason=reason, remedy="" if visible is None else "unset CUDA_VISIBLE_DEVICES")
    try:
        import cupy

        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # a broken CuPy raises ImportError, OSError, CUDARuntimeError, RuntimeError, ...
        reason = "CuPy does not work here: " + textwrap.shorten(f"{type(error).__name__}: {error}", 160)
        wheels = " ".join(CUPY_PACKAGES[major] for major in cupy_packages())
        remedy = f"{_python()} -m pip install --force-reinstall {wheels}" if wheels else "install CuPy again"
        return CudaStatus(False, reason=reason, remedy=remedy, gpus=found.gpus)
    return CudaStatus(True, count, gpus=found.gpus)


def _without_fitting_cupy(version: tuple[int, int], reason: str, wrong: list[int] | None = None) -> CudaStatus:
    """A driver is there; CuPy is missing or does not fit. ``wrong``: CuPy wheels to remove first."""
    major = min(version[0], max(CUPY_PACKAGES))
    if major not in CUPY_PACKAGES:
        reason = f"the NVIDIA driver runs CUDA {dotted(version)} at most, and CuPy needs {min(CUPY_PACKAGES)} or newer"
        return CudaStatus(False, reason=reason, remedy="update NVIDIA's driver")
    remedy = install_command(f"cuda{major}")
    if wrong:
        names = " ".join(CUPY_PACKAGES[each] for each in wrong)
        remedy = f"{_python()} -m pip uninstall -y {names} && {remedy}"
    return CudaStatus(False, reason=reason, remedy=remedy)


def _python() -> str:
    """This Python as one would type it: relative to the current folder where it lies below it."""
    path = Path(sys.executable)
    try:
        return shlex.quote(str(path.relative_to(Path.cwd())))
    except ValueError:
        return shlex.quote(str(path))
