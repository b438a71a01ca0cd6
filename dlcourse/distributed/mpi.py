"""Ranks connected by MPI; arrays on GPUs are summed by NCCL."""

import atexit
import contextlib
import sys
import time
import traceback
from collections.abc import Iterator
from typing import Any

import numpy as np
from mpi4py import MPI

from dlcourse.backend import determinism, device
from dlcourse.backend.collectives import Group
from dlcourse.backend.device import Array
from dlcourse.errors import DlcourseError

_FAILED = 7701
"""Tag of the message that a rank has failed."""
PATIENCE = 10.0
"""Seconds that a rank with an error waits for the same from the others, before it ends them."""
_CHUNK = 1 << 18
"""Numbers that are summed at a time where the order of the sum is fixed."""


class MPIGroup(Group):
    """All ranks of ``MPI.COMM_WORLD``.

    Args:
        local_rank: the number of this rank among those of its machine: the GPU that it takes.
    Attributes:
        library: which MPI it is, in words.
    """

    def __init__(self, local_rank: int = 0):
        self._comm = MPI.COMM_WORLD
        self.rank, self.size, self.local_rank = self._comm.Get_rank(), self._comm.Get_size(), local_rank
        self.library = MPI.Get_library_version().split(",")[0].splitlines()[0].strip()
        self._announced: list[Any] = []
        self._nccl: Any = None
        atexit.register(self._finalize)
        sys.excepthook = self._end_all

    def all_reduce(self, array: Array) -> Array:
        if not isinstance(array, np.ndarray):
            return self._on_gpus(array)
        if determinism.demanded():
            return self._in_order(array)
        self._comm.Allreduce(MPI.IN_PLACE, array)
        return array

    def _in_order(self, array: np.ndarray) -> np.ndarray:
        """The sum in the order of the ranks, whatever way MPI would take for so many numbers."""
        flat = array.reshape(-1)
        for start in range(0, flat.size, _CHUNK):
            own = flat[start : start + _CHUNK].copy()
            every = np.empty((self.size, own.size), own.dtype)
            self._comm.Allgather(own, every)
            total = every[0].copy()
            for other in every[1:]:
                total += other
            flat[start : start + own.size] = total
        return array

    def _on_gpus(self, array: Array) -> Array:
        if self._nccl is None:
            self._nccl = device.of(array).communicator(self.size, self.rank)
        self._nccl.all_reduce(array, array)
        return array

    def sum_over_ranks(self, number: float) -> float:
        numbers = np.array([number, self.stop_requested > 0])
        self.all_reduce(numbers)
        self.stop_agreed = int(numbers[1])
        return float(numbers[0])

    def broadcast(self, value: Any, root: int = 0) -> Any:
        return self._comm.bcast(value, root)

    def wait_for_all(self) -> None:
        request = self._comm.Ibarrier()
        while not request.Test():
            time.sleep(0.005)  # MPI itself waits by asking without a pause

    def gather(self, value: Any) -> list[Any]:
        return self._comm.allgather(value)

    def announce_failure(self) -> None:
        if not self._announced:
            others = (rank for rank in range(self.size) if rank != self.rank)
            self._announced = [self._comm.isend(None, rank, _FAILED) for rank in others]

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self.announce_failure()
            if not self._all_failed():
                self._end_all(type(error), error, error.__traceback__)
            raise

    def _all_failed(self) -> bool:
        """Whether the others have failed too, as where the loss of all diverges; waits a while for them."""
        deadline = time.monotonic() + PATIENCE
        waiting = {rank for rank in range(self.size) if rank != self.rank}
        while waiting and time.monotonic() < deadline:
            waiting = {rank for rank in waiting if not self._comm.iprobe(rank, _FAILED)}
            time.sleep(0.005)
        return not waiting

    def _end_all(self, kind: type[BaseException], error: BaseException, trace: Any) -> None:
        """Say what went wrong on this rank, and end all processes with its exit code."""
        if not isinstance(error, DlcourseError):
            traceback.print_exception(kind, error, trace)
        print(f"dlcourse: error: rank {self.rank} of {self.size}: {error}", file=sys.stderr, flush=True)
        self._comm.Abort(getattr(error, "exit_code", 1))

    def _finalize(self) -> None:
        """End MPI in order: the program may end without Python's own end, and waits here for the other ranks."""
        if not MPI.Is_finalized():
            self.wait_for_all()
            MPI.Finalize()
