"""Random bits on the GPU: the same Philox as the host's, one thread for eight words."""

from typing import Any

import numpy as np

from dlcourse.backend.cuda.program import override, program, step_number
from dlcourse.backend.device import Array
from dlcourse.backend.kernels import random as kernels


@override(kernels.philox_bits)
def philox_bits(out: Array, seed: int, purpose: int, draw: int, step: int) -> None:
    if out.size:
        arguments = out, np.int64(out.size), *drawn_at(seed, purpose, draw, step)
        program("random").launch_over(-(-out.size // 8), "philox_bits_uint", *arguments)


def drawn_at(seed: int, purpose: int, draw: int, step: Any) -> tuple:
    """Where in the sequence words are drawn, as the kernels take it."""
    return *map(np.uint64, (seed, purpose, draw)), *step_number(step)
