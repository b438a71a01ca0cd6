"""Sums at indexed positions: the gradient of ``x[index]``."""

import math
from typing import Any

from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import kernel
from dlcourse.backend.kernels.embedding import embedding_grad


@kernel
def scatter_add(dout: Array, index: Any, shape: tuple[int, ...]) -> Array:
    """Zeros of a shape, to which dout is added at ``[index]``; values for one position are summed in a fixed order.

    Args:
        dout: floating point, of the shape that ``zeros(shape)[index]`` has.
        index: what stands between the brackets: an array of indices, a mask, or a tuple of those and slices.
        shape: of the result.
    """
    xp = array_module(dout)
    size = math.prod(shape)
    positions = xp.arange(size).reshape(shape)[index]
    return embedding_grad(dout.reshape(-1, 1), positions.reshape(-1), size).reshape(shape)
