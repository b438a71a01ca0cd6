"""A CUDA source compiled for the host: the part of CuPy's ``RawModule`` that the package uses, run by fibers."""

import contextlib
import ctypes
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.cuda_host import capture

HERE = Path(__file__).parent
COMPILER = shutil.which("g++")
FLAGS = ["-std=c++17", "-O2", "-fPIC", "-w", "-ffp-contract=off", "-U_FORTIFY_SOURCE"]
"""The last, as some systems' compilers have longjmp refuse another stack by default, which is how the fibers change."""
_REAL = re.compile(r"\breal<(\w+)>")
_STRIDED = re.compile(r"\bstrided<([\w ]+)>")
KEEP_FOR = 7 * 24 * 3600.0
"""Seconds after its last use that a compiled library is kept."""
_PARAMETER = re.compile(r"^(.*?)(\w+)$", re.DOTALL)


class Dim(ctypes.Structure):
    _fields_ = [(axis, ctypes.c_uint) for axis in "xyz"]


class RawModule:
    """``RawModule(code=..., options=...).get_function(name)(grid, block, args, shared_mem=0)``."""

    def __init__(self, *, code: str, options: tuple[str, ...] = ()):
        self.library = _compiled(code, tuple(option for option in options if option.startswith("-I")))

    def compile(self) -> None:
        """It has been compiled."""

    def get_function(self, name: str) -> Any:
        if name not in self.library.entries:
            raise KeyError(f"no kernel {name!r} in the source")

        def function(grid: tuple, block: tuple, args: tuple, shared_mem: int = 0) -> None:
            arrays = [arg.host for arg in args if hasattr(arg, "host")]
            capture.changing(arrays)

            def launch() -> None:
                self.library.launch(name, grid, block, args, shared_mem)

            launch()
            capture.note(launch, [], arrays, args, name)

        return function


def kernels(text: str) -> dict[str, list[str]]:
    """The entry points of a preprocessed source: each name with the types of its parameters."""
    found = {}
    for name, parameters in re.findall(r'extern\s+"C"\s+__global__\s+void\s+(\w+)\s*\(([^)]*)\)', text):
        pieces = [piece.strip() for piece in parameters.split(",")] if parameters.strip() else []
        kind = name.rpartition("_")[2]  # what the macro FOR_TYPES calls T
        types = [re.sub(r"\bT\b", kind, _PARAMETER.match(piece)[1].strip()) for piece in pieces]
        found[name] = [_REAL.sub(lambda of: "double" if of[1] == "double" else "float", one) for one in types]
    return found


@functools.cache
def _compiled(code: str, options: tuple[str, ...]) -> "Library":
    if COMPILER is None:
        raise RuntimeError("no g++ to compile CUDA sources for the host with")
    folder = _folder()
    headers = [path.read_text() for option in options for path in sorted(Path(option[2:]).glob("*.cuh"))]
    parts = [code, (HERE / "shim.h").read_text(), Path(__file__).read_text(), *headers, *options]
    target = folder / f"{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:20]}.so"
    source = f'#include "{HERE / "shim.h"}"\n{code}'
    seen = _run([COMPILER, *FLAGS, *options, "-E", "-P", "-x", "c++", "-"], source)
    entries = kernels(seen)
    library = _kept(target)
    if library is None:
        # In a file of its own process, then renamed: several tests may compile at once.
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".so", delete=False) as scratch:
            text = seen.replace("__global__", "") + "".join(map(_launcher, entries, entries.values()))
        _run([COMPILER, *FLAGS, "-shared", "-x", "c++", "-", "-o", scratch.name], text)
        library = ctypes.CDLL(str(Path(scratch.name).replace(target)))
    return Library(library, entries)


@functools.cache
def _folder() -> Path:
    """Where compiled libraries are kept for the next process; the first use in a process clears it of old ones."""
    folder = Path(tempfile.gettempdir()) / "cuda-on-host"
    folder.mkdir(exist_ok=True)
    prune(folder)
    return folder


def prune(folder: Path, age: float = KEEP_FOR) -> None:
    """Remove what was not used for ``age`` seconds: every change of a source leaves a library behind.

    Others may load or prune at the same moment. A library that a process has loaded stays there for it; one that goes
    between two looks was gone already; one that is about to be loaded is compiled again (:func:`_kept`).
    """
    now = time.time()
    for path in folder.iterdir():
        with contextlib.suppress(OSError):  # gone meanwhile, or another user's
            if now - path.stat().st_mtime > age:
                path.unlink()


def _kept(target: Path) -> ctypes.CDLL | None:
    """The library where it is there, marked as used now; None where it is not, or was pruned this very moment."""
    try:
        os.utime(target)
        return ctypes.CDLL(str(target))
    except OSError:
        return None


def _run(command: list[str], text: str) -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:3])} ...:\n{done.stderr[:4000]}")
    return done.stdout


def _launcher(name: str, types: list[str]) -> str:
    arguments = ", ".join(f"*reinterpret_cast<std::remove_cv_t<{kind}>*>(a[{i}])" for i, kind in enumerate(types))
    return (
        f'\nextern "C" void {name}({", ".join(types)});'
        f'\nextern "C" void launch_{name}(dim3 grid, dim3 block, std::size_t shared, void** a) '
        f"{{ host::run(grid, block, shared, [=] {{ {name}({arguments}); }}); }}\n"
    )


class Library:
    """The compiled library and its kernels' parameters."""

    def __init__(self, library: ctypes.CDLL, entries: dict[str, list[str]]):
        self.library, self.entries = library, entries

    def launch(self, name: str, grid: tuple, block: tuple, args: tuple, shared: int) -> None:
        """Run a kernel; arguments are checked against the source, as no driver does."""
        types = self.entries[name]
        if len(types) != len(args):
            raise TypeError(f"{name} takes {len(types)} arguments, got {len(args)}")
        if len(block) > 3 or np.prod(block) > 1024 or shared > 48 << 10 or min((*grid, *block)) < 1:
            raise ValueError(f"{name}: no such launch: {grid=}, {block=}, {shared=}")
        if grid[0] >= 1 << 31 or max(grid[1:], default=1) >= 1 << 16:
            raise ValueError(f"{name}: no such launch: {grid=}")
        held = [_pointer(name, kind, arg) for kind, arg in zip(types, args, strict=True)]
        pointers = (ctypes.c_void_p * len(held))(*(ctypes.addressof(each) for each in held))
        call = getattr(self.library, f"launch_{name}")
        call.argtypes = [Dim, Dim, ctypes.c_size_t, ctypes.c_void_p]
        call.restype = None
        call(Dim(*grid, *(1,) * (3 - len(grid))), Dim(*block, *(1,) * (3 - len(block))), shared, pointers)
        self.library.host_broken.restype = ctypes.c_char_p
        broken = self.library.host_broken()
        if broken is not None:
            raise RuntimeError(f"{name}: {broken.decode()}")


SIZES = {
    "int": "int32", "unsigned": "uint32", "unsigned int": "uint32",
    "long long": "int64", "unsigned long long": "uint64",
    "float": "float32", "double": "float64", "bool": "bool", "unsigned char": "uint8", "signed char": "int8",
    "half": "float16", "bfloat16": "bfloat16",
}  # fmt: skip


def _pointer(name: str, kind: str, arg: Any) -> Any:
    """The memory that holds an argument, of the type that the kernel declares."""
    plain = re.sub(r"\b(const|__restrict__|std::)\b", "", kind).strip()
    if plain.endswith("*"):
        if isinstance(arg, np.uint64):  # a null pointer
            return ctypes.c_void_p(int(arg))
        host = arg.host
        strided = _STRIDED.match(plain)  # an array whose strides the kernel gets
        target = SIZES.get(strided[1] if strided else plain.rstrip("* "))
        if target is not None and host.dtype.name != target and not (target == "uint8" and host.dtype == bool):
            raise TypeError(f"{name}: an array of {host.dtype} for {kind}")
        any_strides = strided or "void" in plain  # void: the kernel gets them too
        if not any_strides and not host.flags.c_contiguous:
            raise TypeError(f"{name}: an array that is not contiguous for {kind}")
        return ctypes.c_void_p(host.ctypes.data)
    target = np.dtype(SIZES[plain])
    if not isinstance(arg, np.generic) or arg.dtype != target:
        raise TypeError(f"{name}: {arg!r} ({type(arg).__name__}) for {kind}")
    return (ctypes.c_char * target.itemsize).from_buffer_copy(arg.tobytes())
