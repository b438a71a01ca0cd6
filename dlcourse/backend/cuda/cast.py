"""Between float32 and the types of 16 bits on the GPU; other pairs are CuPy's."""

import numpy as np

from dlcourse.backend.cuda.program import HALVES, grid_for_packs, program
from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import cast as kernels
from dlcourse.backend.kernels import override

THREADS = 256


@override(kernels.cast, "cuda", half=True)
def cast(x: Array, out: Array) -> None:
    half = HALVES.get(x.dtype.name) or HALVES.get(out.dtype.name)
    if half is None or np.float32 not in (x.dtype, out.dtype) or not out.flags.c_contiguous or x.shape != out.shape:
        return NotImplemented
    if not out.size:
        return
    name = "widen" if out.dtype == np.float32 else "narrow"
    arguments = array_module(x).ascontiguousarray(x), out, np.int64(out.size)
    program("scaling").launch(f"{name}_{half}", grid_for_packs(out, THREADS), (THREADS,), arguments)
