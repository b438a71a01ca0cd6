"""A GPU as a device: arrays by CuPy, batches copied while others are computed with, training steps as CUDA graphs."""

from typing import Any

import numpy as np

from dlcourse.backend import device
from dlcourse.backend.cuda import graph, nccl, pools, staging, timing
from dlcourse.backend.device import Array, Backend


class CudaBackend(Backend):
    """One GPU."""

    def asarray(self, array: Any, dtype: Any = None) -> Array:
        with self.xp.cuda.Device(self.index):
            return self.xp.asarray(array, dtype=dtype)

    def array(self, array: Any, dtype: Any = None) -> Array:
        result = self.asarray(array, dtype)
        return result.copy() if result is array else result

    @property
    def is_host(self) -> bool:
        return False

    def free_bytes(self) -> int:
        return self.xp.cuda.Device(self.index).mem_info[0]

    def cached_parts(self, size: int, itemsize: int) -> list[slice]:
        return [slice(0, size)]

    def double_buffer(self, shape: tuple[int, ...], dtype: np.dtype) -> staging.DoubleBuffer:
        return staging.DoubleBuffer(self, shape, dtype)

    def step_runner(self) -> graph.CapturedSteps:
        return graph.CapturedSteps(self)

    def launch_timer(self, dtype: np.dtype) -> timing.LaunchTimer:
        return timing.LaunchTimer(self, dtype)

    def communicator(self, size: int, rank: int) -> Any:
        return nccl.communicator(size, rank)

    def free_idle_memory(self) -> None:
        pools.release_closed()
        self.xp.get_default_memory_pool().free_all_blocks()

    def make_current(self) -> None:
        self.xp.cuda.Device(self.index).use()

    def synchronize(self) -> None:
        self.xp.cuda.Device(self.index).synchronize()


def _make(index: int) -> CudaBackend:
    import cupy  # here, so that this module loads where there is no CuPy

    return CudaBackend(f"cuda:{index}", "cuda", cupy, index)


device.register("cuda", _make)
