"""NVRTC, NVIDIA's compiler as a library, by ctypes: each version of it that is here, and no GPU or driver is needed."""

import ctypes
import ctypes.util
import functools
import importlib.util
import os
import re
from ctypes import byref, c_char_p, c_int, c_size_t, c_void_p
from pathlib import Path
from typing import NamedTuple

OTHERS = "DLCOURSE_NVRTC"
"""Environment variable: folders with other NVRTCs, as ``pip install --target FOLDER nvidia-cuda-nvrtc`` fills them."""

_SPILLED = re.compile(r"Compiling entry function '(\w+)'(?:.*\n)+?.*?\d+ bytes stack frame, (\d+) bytes spill stores")


class Compiled(NamedTuple):
    """Machine code, and the bytes of a thread's registers that each kernel's code stores in local memory."""

    cubin: bytes
    spilled: dict[str, int]


@functools.cache
def installed() -> dict[str, ctypes.CDLL]:
    """By version ("12.9"): that of NVIDIA's wheels or of a toolkit first, then those of :data:`OTHERS`."""
    spec = importlib.util.find_spec("nvidia")
    folders = [*(spec.submodule_search_locations or [] if spec else []), *os.environ.get(OTHERS, "").split(os.pathsep)]
    paths = [path for folder in filter(None, folders) for path in sorted(Path(folder).rglob("libnvrtc.so.*"))]
    toolkit = ctypes.util.find_library("nvrtc")
    found: dict[str, ctypes.CDLL] = {}
    for path in [*paths, *([Path(toolkit)] if toolkit else [])]:
        if re.fullmatch(r"libnvrtc\.so\.\d+", path.name):
            for beside in path.parent.glob("libnvrtc-builtins.so.*"):
                ctypes.CDLL(str(beside))  # NVRTC asks for it by name alone, and finds what is loaded
            library = ctypes.CDLL(str(path))
            major, minor = c_int(), c_int()
            library.nvrtcVersion(byref(major), byref(minor))
            found.setdefault(f"{major.value}.{minor.value}", library)
    return found


def compiled(library: ctypes.CDLL, code: str, options: tuple[str, ...]) -> Compiled:
    """
    Raises:
        RuntimeError: it does not compile; with what NVRTC says.
    """
    made = c_void_p()
    library.nvrtcCreateProgram(byref(made), code.encode(), b"source.cu", 0, None, None)
    given = [option.encode() for option in (*options, "--ptxas-options=-v")]
    try:
        failed = library.nvrtcCompileProgram(made, len(given), (c_char_p * len(given))(*given))
        log = _read(library, "ProgramLog", made).rstrip(b"\0").decode()
        if failed:
            raise RuntimeError(log)
        cubin = _read(library, "CUBIN", made)
    finally:
        library.nvrtcDestroyProgram(byref(made))
    return Compiled(cubin, {name: int(spilled) for name, spilled in _SPILLED.findall(log)})


def _read(library: ctypes.CDLL, what: str, made: c_void_p) -> bytes:
    size = c_size_t()
    getattr(library, f"nvrtcGet{what}Size")(made, byref(size))
    text = ctypes.create_string_buffer(size.value)
    getattr(library, f"nvrtcGet{what}")(made, text)
    return text.raw
