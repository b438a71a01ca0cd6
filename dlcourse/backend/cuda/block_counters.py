"""Counters in device memory by which a kernel's last block knows that it is the last (``sources/last_block.cuh``)."""

from typing import Any

import numpy as np

from dlcourse.backend.device import Array
from dlcourse.backend.memory import persistent

COUNTERS = 1024
"""Of a stream. A kernel uses one for each sum that blocks share; there are some hundred blocks, so fewer such sums."""

_counters: dict[tuple, Array] = {}


def block_counters(xp: Any) -> Array:
    """:data:`COUNTERS` counters of the current stream, each 0 before a kernel and after.

    Kernels of one stream run one after another, so they share; two streams never do. A graph uses those of the stream
    that captured it, which no eager call uses while the graph runs.
    """
    stream = xp.cuda.get_current_stream()
    key = xp.cuda.Device().id, stream.ptr
    if key in _counters:
        return _counters[key]
    if stream.is_capturing():  # they are 0 only when the graph runs, which then sets them itself
        return xp.zeros(COUNTERS, dtype=np.int32)
    with persistent(xp):
        _counters[key] = xp.zeros(COUNTERS, dtype=np.int32)
    return _counters[key]
