"""How this process was started, by what a launcher wrote into its environment; nothing is loaded for it."""

import os
from typing import NamedTuple

_LAUNCHERS = {
    "Open MPI": ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK"),
    "MPICH": ("PMI_SIZE", "PMI_RANK", "MPI_LOCALRANKID"),
    "Slurm": ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_LOCALID"),
}
"""By launcher, the variables with the number of processes, with the one of this, and with that on its machine."""
_SLURM_WITHOUT_MPI = "none", ""


class Launch(NamedTuple):
    """What started this process.

    Attributes:
        launcher: its name; empty where the process was started by itself.
        size: how many processes it started.
        rank: the number of this one, from 0.
        local_rank: its number among those of its machine, from 0.
    """

    launcher: str = ""
    size: int = 1
    rank: int = 0
    local_rank: int = 0


def launched() -> Launch:
    """How this process was started; one process alone where no launcher says that there are several."""
    for launcher, (size, rank, local) in _LAUNCHERS.items():
        if launcher == "Slurm" and os.environ.get("SLURM_MPI_TYPE", "none") in _SLURM_WITHOUT_MPI:
            continue
        if _number(size, 1) > 1:
            return Launch(launcher, _number(size, 1), _number(rank, 0), _number(local, _number(rank, 0)))
    return Launch()


def _number(name: str, default: int) -> int:
    value = os.environ.get(name, "")
    return int(value) if value.isdecimal() else default
