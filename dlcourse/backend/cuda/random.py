"""Random bits on the GPU: the same Philox as the host's, one thread for eight words."""

from typing import Any

import numpy as np

from dlcourse.backend.cuda.program import grid_for, program, step_number
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import override
from dlcourse.backend.kernels import random as kernels

THREADS = 256


@override(kernels.philox_bits, "cuda")
def philox_bits(out: Array, seed: int, purpose: int, draw: int, step: int) -> None:
    if not out.size:
        return
    grid = grid_for(-(-out.size // 8), THREADS)
    arguments = out, np.int64(out.size), *drawn_at(seed, purpose, draw, step)
    program("random").launch("philox_bits_uint", grid, (THREADS,), arguments)


def drawn_at(seed: int, purpose: int, draw: int, step: Any) -> tuple:
    """Where in the sequence words are drawn, as the kernels take it."""
    return *map(np.uint64, (seed, purpose, draw)), *step_number(step)
