"""Check CuPy step by step, in a process of its own: ``inspection.py`` runs this file by its path.

Missing parts of the CUDA libraries can end a process instead of raising (``cudnnGetVersion`` does), and a first kernel
can hang on a broken driver. So each step is announced before it is tried: whatever happens, the parent knows where.
One JSON object a line: ``{"step": name}``, then ``{"step": name, "ok": true | false, "detail": text}``.
"""

import json
import os
import runpy
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

# What each step needs of the ones before it; a step whose need failed is not tried. The libraries do not need the
# device, nor each other: all that is missing is reported at once.
NEEDS = {
    "device": ("CuPy",),
    "NVRTC": ("CuPy",),
    "cuBLAS": ("CuPy",),
    "CUDA headers": ("CuPy",),
    "kernel": ("device", "NVRTC", "CUDA headers"),
    "GEMM": ("kernel", "cuBLAS"),
    "NCCL": ("CuPy",),
    "cuDNN": ("CuPy",),
}
OPTIONAL = "NCCL", "cuDNN"


HEADER = "vector_types.h"


def report(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


def check_cupy() -> str:
    import cupy

    return f"version {cupy.__version__}"


def check_device() -> str:
    import cupy

    available = cupy.cuda.is_available()
    count = cupy.cuda.runtime.getDeviceCount()  # raises, and so says why, what is_available swallows
    if not available:
        raise RuntimeError("CuPy finds no GPU that it can use")
    free, total = cupy.cuda.runtime.memGetInfo()
    return f"{count} found; {free / 2**30:.1f} of {total / 2**30:.1f} GiB free on cuda:0"


def check_nvrtc() -> str:
    from cupy.cuda import nvrtc

    return "version {}.{}".format(*nvrtc.getVersion())


def check_cublas() -> str:
    from cuda.pathfinder import load_nvidia_dynamic_lib

    return str(load_nvidia_dynamic_lib("cublasLt").abs_path)


def check_headers() -> str:
    """Where CuPy's own kernels find the header that they all begin with."""
    from cuda.pathfinder import find_nvidia_header_directory
    from cupy.cuda import get_cuda_path

    toolkit = get_cuda_path()
    folders = [find_nvidia_header_directory("cudart"), toolkit and os.path.join(toolkit, "include")]
    for folder in filter(None, folders):
        if os.path.isfile(os.path.join(folder, HEADER)):
            return str(folder)
    raise RuntimeError(f'cannot open source file "{HEADER}": the CUDA headers are not installed')


def check_kernel() -> str:
    import cupy

    source = 'extern "C" __global__ void twice(float* x, int n) { int i = threadIdx.x; if (i < n) x[i] *= 2; }'
    x = cupy.arange(64, dtype=cupy.float32)
    cupy.RawKernel(source, "twice")((1,), (64,), (x, 64))
    require(x.get(), [2.0 * i for i in range(64)])
    return "compiled and run"


def check_gemm() -> str:
    import cupy

    from dlcourse.backend.cuda.blas import gemm

    a = cupy.full((64, 32), 2.0, dtype=cupy.float32)
    require((a @ a.T).get().ravel()[:2], [128.0, 128.0])
    # The handle that training uses; rows and columns that differ tell a transposition.
    a = cupy.arange(64 * 32, dtype=cupy.float32).reshape(64, 32) % 7
    b = cupy.arange(32 * 48, dtype=cupy.float32).reshape(32, 48) % 5
    require(gemm(a, b, bias=b[0]).get().ravel(), (a.get() @ b.get() + b[0].get()).ravel().tolist())
    return "64 x 32 x 48 is right, by CuPy and by cuBLASLt"


def check_nccl() -> str:
    """What sums over the GPUs of several processes."""
    from cuda.pathfinder import load_nvidia_dynamic_lib

    path = load_nvidia_dynamic_lib("nccl").abs_path  # first: CuPy warns where it is not there
    from cupy.cuda import nccl

    return f"version {nccl.get_version()}, {path}"


def check_cudnn() -> str:
    version, _ = runpy.run_path(str(Path(__file__).with_name("cudnn_check.py")))["find"]()
    return f"version {version}"


def require(got: Any, expected: list[float]) -> None:
    if got.tolist() != expected:
        raise RuntimeError(f"wrong numbers: {got.tolist()[:4]} ... instead of {expected[:4]} ...")


STEPS: dict[str, Callable[[], str]] = {
    "CuPy": check_cupy,
    "device": check_device,
    "NVRTC": check_nvrtc,
    "cuBLAS": check_cublas,
    "CUDA headers": check_headers,
    "kernel": check_kernel,
    "GEMM": check_gemm,
    "NCCL": check_nccl,
    "cuDNN": check_cudnn,  # last: the one known to abort
}


def main() -> None:
    passed: set[str] = set()
    for step, check in STEPS.items():
        if not passed.issuperset(NEEDS.get(step, ())):
            continue
        report(step=step)
        try:
            detail = check()
        except Exception as error:  # every library here has error classes of its own
            message = textwrap.shorten(f"{type(error).__name__}: {error}", 160)
            report(step=step, ok=False, detail=message)
        else:
            passed.add(step)
            report(step=step, ok=True, detail=detail)


if __name__ == "__main__":
    main()
