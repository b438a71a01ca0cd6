"""The group of all processes that a launcher started."""

import functools
import os

from dlcourse.backend import collectives
from dlcourse.backend.diagnostics import probe
from dlcourse.distributed.launch import launched
from dlcourse.errors import UserError

TIMED_PRODUCTS = "DLCOURSE_TIMED_PRODUCTS"
"""Environment variable of ``backend/cpu``: ``0`` takes no choice by the clock."""


@functools.cache
def world() -> collectives.Group:
    """All processes as a group, in which this one trains from now on; a process started by itself is a group of one.

    Ranks choose nothing by the clock: they would choose differently, round differently, and their weights would part.

    Raises:
        UserError: a launcher started several processes, and there is no mpi4py, or one of another MPI.
    """
    launch = launched()
    if launch.size == 1:
        return collectives.SINGLE
    os.environ.setdefault(TIMED_PRODUCTS, "0")
    try:
        from dlcourse.distributed.mpi import MPIGroup
    except (ImportError, RuntimeError) as error:  # mpi4py raises RuntimeError where it finds no MPI library
        raise UserError(
            f"{launch.launcher} started {launch.size} processes, which need mpi4py to train together, and it cannot "
            f"be loaded ({error}): {probe.install_command('mpi')}; or start one process"
        ) from error
    group = MPIGroup(launch.local_rank)
    if group.size != launch.size:
        raise UserError(
            f"{launch.launcher} started {launch.size} processes, but mpi4py knows {group.size}: it uses another MPI "
            f"({group.library}) than the mpirun that started them; install mpi4py for that one, or use its own mpirun"
        )
    collectives.use(group)
    return group
