"""``--deterministic``: the flag, kept in an environment variable, which a run's own processes inherit.

On the CPU every run repeats bit for bit, on one machine with one number of threads. Kernels for the GPU sum in a fixed
order too. Two things are left, which the flag rules out: cuBLAS chooses the workspace of a matrix product, and with it
the order of its sums, as memory allows; ``cuda/autotune.py`` chooses between implementations by the clock (our own
convolution or cuDNN's, attention by blocks or by products).
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
