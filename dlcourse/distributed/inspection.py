"""What ``dlcourse devices`` says of training on several processes."""

import subprocess
import sys

from dlcourse.backend.diagnostics import probe
from dlcourse.backend.diagnostics.inspection import Check

_ASK = """
import mpi4py
mpi4py.rc.initialize = False
from mpi4py import MPI
print(MPI.Get_library_version().splitlines()[0].strip("\\0 "))
"""
TIMEOUT = 20.0
"""Seconds."""


def mpi_check() -> Check:
    """Which MPI mpi4py uses; asked in a process of its own, as a broken MPI may end it."""
    version = probe.package_version("mpi4py")
    if version is None:
        return Check("MPI", "optional", "no mpi4py: one process trains a model", probe.install_command("mpi"))
    try:
        done = subprocess.run([sys.executable, "-c", _ASK], capture_output=True, text=True, timeout=TIMEOUT)
        said = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    except subprocess.TimeoutExpired:
        return Check("MPI", "failed", f"mpi4py {version} does not answer within {TIMEOUT:.0f} s")
    if done.returncode == 0 and said:
        return Check(
            "MPI", "ok", f"{said[0].split(', package')[0]} by mpi4py {version}; mpirun -n 4 dlcourse run CONFIG"
        )
    why = said[-1] if said else f"exit code {done.returncode}"
    return Check("MPI", "failed", f"mpi4py {version} finds no MPI library ({why})", probe.install_command("mpi"))
