"""Small arrays of fixed numbers beside an array, brought to its device once: a captured step may bring nothing there.

They are kept for good, in the common pool: a captured step goes on reading them where they lie.
"""

import functools
from typing import Any

import numpy as np

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.memory import persistent


def constant(values: Any, beside: Array, dtype: Any = None) -> Array:
    """The values as an array on the device of ``beside``; it is shared, so nothing may be written to it."""
    host, xp = np.asarray(values, dtype=dtype), array_module(beside)
    return host if xp is np else _kept(host.tobytes(), host.dtype, host.shape, beside.device.id, xp)


@functools.cache
def _kept(content: bytes, dtype: np.dtype, shape: tuple[int, ...], device: int, xp: Any) -> Array:
    with persistent(xp):
        return xp.asarray(np.frombuffer(content, dtype=dtype).reshape(shape))
