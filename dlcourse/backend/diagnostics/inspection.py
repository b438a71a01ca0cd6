"""The report of ``dlcourse devices``: what this machine has, what is missing, and the command that installs it.

The CPU's part only reads settings. The GPU's part runs ``cuda_check.py`` in a process of its own with a time limit,
because broken CUDA libraries can abort or hang.
"""

import json
import os
import platform
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import threadpoolctl

from dlcourse.backend.cpu import autotune, mkl, onednn, threads
from dlcourse.backend.cuda import cudnn
from dlcourse.backend.diagnostics import driver, probe
from dlcourse.backend.diagnostics.cuda_check import NEEDS, OPTIONAL, STEPS
from dlcourse.resources import cores, processor

CUDA_CHECK = Path(__file__).with_name("cuda_check.py")
TIMEOUT = 120.0
"""Seconds for all steps of the GPU's check; a first kernel on a cold cache takes about two."""


@dataclass(frozen=True)
class Check:
    """One line of the table. ``state``: ok, missing, failed, optional (missing, but nothing needs it) or skipped."""

    name: str
    state: str
    detail: str
    remedy: str = ""


@dataclass(frozen=True)
class Report:
    """All lines for the CPU and for the GPU, the device that ``auto`` takes and why."""

    cpu: tuple[Check, ...]
    cuda: tuple[Check, ...]
    auto: str
    why: str


def inspect() -> Report:
    """Look at everything. Never raises for what is missing; takes some seconds where CuPy is installed."""
    status = probe.cuda_status()
    why = f"{status.count} usable GPU(s)" if status.usable else status.reason
    return Report(cpu_checks(), cuda_checks(), "cuda:0" if status.usable else "cpu", why)


def cpu_checks() -> tuple[Check, ...]:
    """Cores, memory, NumPy's matrix library and its threads, the optional oneDNN and MKL, how products are chosen."""
    return (
        Check("cores", "ok", f"{cores()} of {os.cpu_count()}, {processor()}"),
        Check("memory", "ok", _memory()),
        Check("NumPy", "ok", f"version {np.__version__}, {_blas()}"),
        _onednn(),
        _mkl(),
        _products(),
    )


def cuda_checks() -> tuple[Check, ...]:
    """The driver, its devices, then each step of ``cuda_check.py``, with the command that installs what is missing."""
    found = driver.inspect()
    status = probe.cuda_status()
    if found is None:
        checks = [Check("driver", "missing", "no NVIDIA driver", status.remedy)]
    else:
        checks = [Check("driver", "ok", f"runs CUDA {probe.dotted(found.cuda)}")]
        checks += [_gpu(index, gpu) for index, gpu in enumerate(found.gpus)]
        if not found.gpus:
            checks.append(Check("GPU", "missing", found.reason or "none found", status.remedy))
    if not probe.has_cupy():
        return (*checks, Check("CuPy", "missing", "not installed", status.remedy if found else ""))
    return (*checks, *_checked_by_cupy(status, gpu=bool(found and found.gpus)))


def _checked_by_cupy(status: probe.CudaStatus, gpu: bool) -> list[Check]:
    """The steps of ``cuda_check.py`` as checks. Without a GPU nothing that fails there needs a fix."""
    outcomes, ending = _run_cuda_check()
    wheels = ", ".join(probe.CUPY_PACKAGES[major] for major in probe.cupy_packages()) or "not from a CUDA wheel"
    checks = []
    for step in STEPS:
        outcome = outcomes.get(step)
        if outcome is None or (step == "device" and not gpu):
            checks.append(Check(step, "skipped", _reason_not_tried(step, outcomes, gpu)))
        elif outcome.get("ok"):
            detail = f"{outcome['detail']} ({wheels})" if step == "CuPy" else outcome["detail"]
            if step == "cuDNN" and cudnn.switched_off():
                detail += f", switched off by {cudnn.DISABLE}=0"
            checks.append(Check(step, "ok", detail))
        elif step in OPTIONAL:
            detail = "not installed" if "ok" in outcome else ending
            remedy = probe.install_command("cudnn") if step == "cuDNN" else probe.nccl_command()
            checks.append(Check(step, "optional", detail, remedy if gpu else ""))
        elif gpu:
            checks.append(Check(step, "failed", outcome.get("detail", ending), _remedy(step, status)))
        else:
            checks.append(Check(step, "missing", outcome.get("detail", ending)))
    return checks


def _run_cuda_check() -> tuple[dict[str, dict], str]:
    """The outcome of each announced step (no ``ok`` in it: the process ended there), and how the process ended."""
    # -P: no file in the folder of the script may hide a module of the same name.
    command = [sys.executable, "-P", str(CUDA_CHECK)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
        output, ending = done.stdout, _ending(done.returncode)
    except subprocess.TimeoutExpired as late:
        output = late.stdout.decode() if isinstance(late.stdout, bytes) else late.stdout or ""
        ending = f"did not answer within {TIMEOUT:.0f} s"
    outcomes: dict[str, dict] = {}
    for line in output.splitlines():
        try:
            outcome = json.loads(line)
            outcomes[outcome["step"]] = outcome
        except (ValueError, TypeError, KeyError):
            continue  # a library printed something of its own, or the last line was cut
    return outcomes, ending


def _ending(code: int) -> str:
    if code >= 0:
        return f"the check ended here with exit code {code}"
    return f"the check was ended here by {signal.Signals(-code).name}"


def _reason_not_tried(step: str, outcomes: dict[str, dict], gpu: bool) -> str:
    """Why a step was not tried: which of those that it needs are not there, or that the process ended before it."""
    if step == "device" and not gpu:
        return "waits for a GPU"
    lacking = [need for need in NEEDS.get(step, ()) if not outcomes.get(need, {}).get("ok")]
    return f"waits for {' and '.join(lacking)}" if lacking else "not tried: the check ended before it"


def _remedy(step: str, status: probe.CudaStatus) -> str:
    """The command that fixes a failed step; one brings all libraries and headers that CuPy does not."""
    return status.remedy if step in ("CuPy", "device") else probe.libraries_command()


def _gpu(index: int, gpu: driver.Gpu) -> Check:
    major, minor = gpu.capability
    return Check(f"cuda:{index}", "ok", f"{gpu.name}, {gpu.memory / 2**30:.0f} GiB, compute capability {major}.{minor}")


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    except (AttributeError, ValueError, OSError):
        return "size not known"


def _blas() -> str:
    pools = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    if not pools:
        return "matrix library not known to threadpoolctl"
    pool = pools[0]
    return f"{pool['internal_api']} {pool['version']} on {pool['num_threads']} thread(s)"


def _onednn() -> Check:
    version = probe.package_version(onednn.PACKAGE)
    if version is not None and onednn.available():
        return Check("oneDNN", "ok", f"version {onednn.version()} (package {version}), {threads.budget()} thread(s)")
    if version is not None:
        why = f"switched off by {onednn.DISABLE}=0" if onednn.switched_off() else "installed, but it cannot be loaded"
        return Check("oneDNN", "optional", why, "" if onednn.switched_off() else probe.install_command("cpu"))
    if sys.platform == "linux" and platform.machine() == "x86_64":
        return Check("oneDNN", "optional", "not installed", probe.install_command("cpu"))
    return Check("oneDNN", "optional", "no package for this platform")


def _mkl() -> Check:
    version = probe.package_version(mkl.PACKAGE)
    if version is not None and mkl.available():
        return Check("MKL", "ok", f"version {version}, {threads.budget()} thread(s)")
    if version is not None:
        off = os.environ.get(mkl.DISABLE) == "0"
        return Check("MKL", "optional", f"switched off by {mkl.DISABLE}=0" if off else "installed, but not used")
    if sys.platform == "linux" and platform.machine() == "x86_64":
        return Check("MKL", "optional", "not installed (may help on processors by Intel)", probe.install_command("mkl"))
    return Check("MKL", "optional", "no package for this platform")


def _products() -> Check:
    """How matrix products are chosen."""
    if not autotune.allowed():
        return Check("products", "ok", "by a fixed rule")
    try:
        home = autotune.folder()
        return Check("products", "ok", f"timed once for each shape; {len(list(home.glob('*.json')))} kept in {home}")
    except (OSError, RuntimeError):
        return Check("products", "ok", "by a fixed rule, as there is no cache folder")
