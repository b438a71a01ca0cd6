"""The way that arrays take on a GPU, on a machine without one: the suite's quick part on a stand-in for CuPy."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cuda_host.module import COMPILER

ROOT = Path(__file__).parents[1]
QUICK = ["autograd", "ops", "nn", "optim", "training/test_step.py", "backend/test_kernels.py"]
QUICK += ["backend/test_capture.py", "backend/test_device_batches.py", "backend/test_cudnn.py"]
QUICK += ["backend/test_autotune.py", "backend/test_pools.py"]
QUICK += ["backend/test_packs.py"]
QUICK += ["backend/test_blas.py", "backend/test_epilogues.py", "backend/test_launches.py", "backend/test_memory.py"]
QUICK += [
    "training/test_profile.py",
    "training/test_half_precision.py",
    "training/test_stack_step.py",
    "experiment/test_device_memory.py",
]


@pytest.mark.skipif(importlib.util.find_spec("cupy") is None, reason="the CuPy wheel is not installed (extra: ci)")
@pytest.mark.skipif(COMPILER is None, reason="no g++ to compile CUDA sources for the host with")
def test_names_signatures_and_devices_are_right_where_arrays_are_cupys() -> None:
    """No name that CuPy lacks, no call that it refuses, no array of the host beside one of the device."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.fake_cupy", "--device", "cuda"]
    command += [f"tests/{part}" for part in QUICK]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-1000:]
