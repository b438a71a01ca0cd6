"""The only home of CuPy and of every difference between the CPU and the GPU.

Everything above asks three things of it: an array library (``array_module(x)``), a kernel by name
(``kernels.adam_step(...)``), and random bits (``random.bernoulli(...)``). None of them needs to know the device.
"""

from dlcourse.backend import random
from dlcourse.backend.device import (
    Backend,
    address,
    array_module,
    auto_reason,
    current,
    from_dlpack,
    get,
    of,
    own,
    same_device,
    set_device,
    synchronize,
    to_host,
    use,
)

__all__ = [
    "Backend",
    "address",
    "array_module",
    "auto_reason",
    "current",
    "from_dlpack",
    "get",
    "of",
    "own",
    "random",
    "same_device",
    "set_device",
    "synchronize",
    "to_host",
    "use",
]
