"""Random bits on the GPU: the same Philox as the host's, one thread for eight words."""

from typing import Any

import numpy as np

from dlcourse.backend.cuda.program import NULL, blocks, program
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import override
from dlcourse.backend.kernels import random as kernels

THREADS = 128


@override(kernels.philox_bits, "cuda")
def philox_bits(out: Array, seed: int, purpose: int, draw: int, step: int) -> None:
    if not out.size:
        return
    grid = blocks(-(-out.size // 8), THREADS)
    numbers = np.int64(out.size), *map(np.uint64, (seed, purpose, draw))
    program("random").launch("philox_bits_uint", grid, (THREADS,), (out, *numbers, *_changing(step)))


def _changing(step: Any) -> tuple:
    """The step as a pointer to a uint64 of the device, or as a number."""
    return (step, np.uint64(0)) if hasattr(step, "get") else (NULL, np.uint64(step))
