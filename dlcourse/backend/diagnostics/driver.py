"""Queries of the NVIDIA driver through ``libcuda``: no CuPy, no CUDA toolkit, standard library only.

A leaf on purpose: ``scripts/lib/environment.py`` loads this file by its path, before anything is installed, to pick the
CuPy package that fits the driver.
"""

import ctypes
import re
from dataclasses import dataclass

LIBRARIES = ("libcuda.so.1", "libcuda.so", "nvcuda.dll")

# From cuda.h: enum CUdevice_attribute.
CAPABILITY_MAJOR, CAPABILITY_MINOR = 75, 76


@dataclass(frozen=True)
class Gpu:
    """One device as the driver names it: memory in bytes, compute capability as (major, minor)."""

    name: str
    memory: int
    capability: tuple[int, int]


@dataclass(frozen=True)
class Driver:
    """What the driver says: the newest CUDA version it runs, its devices, and why there are none, if so."""

    cuda: tuple[int, int]
    gpus: tuple[Gpu, ...]
    reason: str = ""


def cuda_version() -> tuple[int, int] | None:
    """The newest CUDA version that the installed driver runs, as (major, minor); None without a driver.

    Does not initialize CUDA.
    """
    library = _load()
    version = ctypes.c_int(0)
    if library is None or library.cuDriverGetVersion(ctypes.byref(version)) or version.value <= 0:
        return None
    return version.value // 1000, version.value % 1000 // 10


def cuda_version_by_smi() -> tuple[int, int] | None:
    """The same as ``nvidia-smi`` prints it, for where ``libcuda`` is out of reach (it starts a process: slower)."""
    import shutil
    import subprocess

    if shutil.which("nvidia-smi") is None:
        return None
    try:
        text = subprocess.run(["nvidia-smi"], capture_output=True, text=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"CUDA\D{0,20}?Version\s*:\s*(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else None


def inspect() -> Driver | None:
    """The driver and its devices; None without a driver. Never raises.

    Initializes CUDA in this process (``cuInit``): a process forked after that cannot use the GPU, a spawned one can.
    """
    version, library = cuda_version(), _load()
    if version is None or library is None:
        return None
    error = library.cuInit(0)
    if error:
        return Driver(version, (), f"the driver finds no usable GPU (cuInit: {_error_name(library, error)})")
    count = ctypes.c_int(0)
    library.cuDeviceGetCount(ctypes.byref(count))
    return Driver(version, tuple(_gpu(library, ordinal) for ordinal in range(count.value)))


def _load() -> ctypes.CDLL | None:
    for name in LIBRARIES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def _gpu(library: ctypes.CDLL, ordinal: int) -> Gpu:
    device, name, memory = ctypes.c_int(0), ctypes.create_string_buffer(256), ctypes.c_size_t(0)
    library.cuDeviceGet(ctypes.byref(device), ordinal)
    library.cuDeviceGetName(name, len(name), device)
    library.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    capability = []
    for attribute in (CAPABILITY_MAJOR, CAPABILITY_MINOR):
        value = ctypes.c_int(0)
        library.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        capability.append(value.value)
    return Gpu(name.value.decode(errors="replace"), memory.value, (capability[0], capability[1]))


def _error_name(library: ctypes.CDLL, error: int) -> str:
    text = ctypes.c_char_p()
    known = text.value if library.cuGetErrorName(error, ctypes.byref(text)) == 0 else None
    return known.decode() if known else f"error {error}"
