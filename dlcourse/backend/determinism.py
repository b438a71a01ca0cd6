"""``--deterministic``: the flag, kept in an environment variable, which a run's own processes inherit.

Where several implementations compute one thing, the fastest by the clock is taken, and they round differently. On the
CPU (``cpu/autotune.py``: matrix products) a choice is kept in a file and in checkpoints, so that every run repeats bit
for bit, on one machine with one number of threads; on the GPU (``cuda/autotune.py``: our own convolution or cuDNN's,
attention by blocks or by products) it holds for the process. With the flag the clock is not asked. Kernels for the GPU
sum in a fixed order, but cuBLAS chooses the workspace of a matrix product, and with it the order of its sums, as memory
allows: the flag rules that out too.
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
