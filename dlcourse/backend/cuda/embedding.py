"""The embedding's gradient on the GPU: segments of the batch for each row of the table, then their sum; no atomics."""

import numpy as np

from dlcourse.backend.cuda.program import override, program, type_suffix
from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import embedding as kernels
from dlcourse.backend.kernels import require
from dlcourse.backend.precision import accumulation_dtype

SEGMENT = 256
"""The fewest indices a segment has."""
BLOCKS = 2112
"""So many blocks are enough to fill the device; more segments would only make the second sum longer."""
MAX_READS = 1 << 28
"""Indices read by all blocks, beyond which sorting them, as the reference does, is less work."""


@override(kernels.embedding_grad, half=True)
def embedding_grad(dout: Array, indices: Array, rows: int) -> Array:
    name, count = type_suffix(dout), len(indices)
    require(0 < count * rows <= MAX_READS)
    xp = array_module(dout)
    dout, indices = xp.ascontiguousarray(dout), xp.ascontiguousarray(indices.astype(xp.int64, copy=False))
    width = dout.shape[1]
    segments = max(1, min(count // SEGMENT, BLOCKS // rows))
    segment = -(-count // segments)
    segments = -(-count // segment)
    grad = xp.empty((rows, width), dtype=dout.dtype)
    adding = accumulation_dtype(dout.dtype)
    alone = segments == 1 and adding == dout.dtype  # the first kernel's sums are the result, not parts of it
    parts = grad if alone else xp.empty((segments, rows, width), dtype=adding)
    family, threads = program("embedding"), min(256, -(-width // 32) * 32)
    sizes = np.int64(count), np.int32(width), np.int32(rows), np.int64(segment)
    family.launch(f"embedding_parts_{name}", (rows, segments), (threads,), (dout, indices, parts, *sizes))
    if not alone:
        whole = np.int64(grad.size), np.int32(segments)
        family.launch_over(grad.size, f"embedding_total_{name}", parts, grad, *whole)
    return grad
