"""Matrix products inside the other kernels: by the own cuBLASLt handle where it is there, else by CuPy's ``matmul``.

CuPy's own is refused while a stream is being captured, so a step with it runs launch by launch.
"""

from importlib.util import find_spec

from dlcourse.backend.device import Array, array_module

if find_spec("dlcourse.backend.cuda.blas") is not None:
    from dlcourse.backend.cuda.blas import gemm
else:

    def gemm(a: Array, b: Array, out: Array | None = None, accumulate: bool = False) -> Array:
        """a b, or out + a b where it accumulates, of matrices or stacks of them."""
        if out is not None and accumulate:
            out += array_module(a).matmul(a, b)
            return out
        return array_module(a).matmul(a, b, out=out)
