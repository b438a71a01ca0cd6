"""Between float32 and the types of 16 bits on the GPU; other pairs are CuPy's."""

import numpy as np

from dlcourse.backend.cuda.program import HALVES, override, packs_of, program
from dlcourse.backend.device import Array, array_module
from dlcourse.backend.kernels import cast as kernels
from dlcourse.backend.kernels import require


@override(kernels.cast, half=True)
def cast(x: Array, out: Array) -> None:
    half = HALVES.get(x.dtype.name) or HALVES.get(out.dtype.name)
    require(half is not None and np.float32 in (x.dtype, out.dtype) and out.flags.c_contiguous and x.shape == out.shape)
    if not out.size:
        return
    name = "widen" if out.dtype == np.float32 else "narrow"
    arguments = array_module(x).ascontiguousarray(x), out, np.int64(out.size)
    program("scaling").launch_over(packs_of(out), f"{name}_{half}", *arguments)
