"""Counters by which the blocks of a kernel see which comes last (``sources/last.cuh``): 0 before a kernel and after."""

from typing import Any

import numpy as np

from dlcourse.backend.cuda.pools import persistent
from dlcourse.backend.device import Array

COUNTERS = 1024
"""Of a stream. A kernel uses one for each sum that blocks share; there are some hundred blocks, so fewer such sums."""

_kept: dict[tuple, Array] = {}


def block_counters(xp: Any) -> Array:
    """:data:`COUNTERS` counters of the current stream.

    Kernels of one stream run one after another, so they share; two streams never do. A graph keeps those of the stream
    that captured it, which no call by itself uses while the graph runs.
    """
    stream = xp.cuda.get_current_stream()
    key = xp.cuda.Device().id, stream.ptr
    if key in _kept:
        return _kept[key]
    if stream.is_capturing():  # they are 0 only when the graph runs, which then sets them itself
        return xp.zeros(COUNTERS, dtype=np.int32)
    with persistent(xp):
        _kept[key] = xp.zeros(COUNTERS, dtype=np.int32)
    return _kept[key]
