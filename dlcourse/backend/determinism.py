"""Whether a run has to repeat bit for bit: its own processes inherit it through the environment.

On the CPU every run does, on one machine with one number of threads. Kernels for the GPU sum in a fixed order too; what
is left is cuBLAS, which chooses the workspace of a matrix product, and with it the order of its sums, as memory allows,
and the choice of a way by the clock (``cuda/autotune.py``: our own convolution or cuDNN's, attention by blocks or by
products), which is not made then.
"""

import os

_DEMANDED = "DLCOURSE_DETERMINISTIC"
_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


def demand() -> None:
    """Give cuBLAS a fixed workspace (NVIDIA's documented switch); has to come before the first matrix product."""
    os.environ[_DEMANDED] = "1"
    os.environ.setdefault(_CUBLAS, ":4096:8")


def demanded() -> bool:
    """Whether this process, or the one that started it, called :func:`demand`."""
    return os.environ.get(_DEMANDED) == "1"
