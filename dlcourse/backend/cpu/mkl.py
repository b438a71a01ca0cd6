"""Intel's MKL on NumPy arrays, through ctypes: its matrix product, the fastest there is on many of Intel's processors.

It is optional; where the package ``mkl`` (extra ``mkl``, 700 MB) is installed, ``products.py`` times it against what
else there is. It is told to compute with GNU OpenMP's threads, which are then the very ones that oneDNN uses, as many
as the budget has, and to repeat its results bit for bit (``MKL_CBWR_AUTO`` in its guide: one order of sums). It is left
alone where NumPy itself computes with it, as one process has one MKL.
"""

import ctypes
import os
from ctypes import c_float, c_int, c_void_p

import threadpoolctl

from dlcourse.backend.cpu import packaged, threads

PACKAGE = "mkl"
DISABLE = "DLCOURSE_MKL"
"""Environment variable: ``0`` leaves MKL alone even where it is installed."""

GNU_THREADS, SIZES_OF_32_BITS, REPEATABLE = 3, 0, 2
ROW_MAJOR, ORIENTATION = 101, {"N": 111, "T": 112}
_PARTS = "libmkl_core.so", "libmkl_gnu_thread.so", "libmkl_intel_lp64.so"
"""What the library loads by itself when it is first used; a part that it does not find ends the process."""


def available() -> bool:
    """Whether MKL can be called in this process."""
    return not packaged.forked() and library() is not None


@packaged.once
def library() -> ctypes.CDLL | None:
    """The library, loaded at the first call; None where it is not installed, not whole, switched off or NumPy's own."""
    path = None if os.environ.get(DISABLE) == "0" else packaged.library_file(PACKAGE, "libmkl_rt.so.")
    if path is None or any(pool["internal_api"] == "mkl" for pool in threadpoolctl.threadpool_info()):
        return None
    files = os.listdir(os.path.dirname(path))
    if not all(any(file.startswith(part) for file in files) for part in _PARTS):
        return None
    try:
        ctypes.CDLL("libgomp.so.1")
        loaded = ctypes.CDLL(path)
    except OSError:
        return None
    loaded.MKL_Set_Interface_Layer(SIZES_OF_32_BITS)
    if loaded.MKL_Set_Threading_Layer(GNU_THREADS) != GNU_THREADS:
        return None
    loaded.MKL_CBWR_Set(REPEATABLE)
    loaded.MKL_Set_Dynamic(0)
    loaded.MKL_Set_Num_Threads(threads.budget())
    operands = c_float, c_void_p, c_int, c_void_p, c_int, c_float, c_void_p, c_int
    loaded.cblas_sgemm.argtypes = (*[c_int] * 6, *operands)
    loaded.cblas_sgemm.restype = None
    return loaded
